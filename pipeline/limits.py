"""What the limits of a ledger let through, counted exactly and in the order of the log.

An operation is held against each limit that it concerns just before it is entered, when nothing
else stands in its way; what it used is settled when it has taken effect, and forgotten when it was
refused after all. A hold counts when it is made: so neither its capture counts, nor does what a
release or a reversal gives back make room again.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.ledger import DEBIT_NORMAL, Account, Books, Counter, Entry, Leg, Usage
from pipeline.principal import read_principal
from pipeline.refusal import Refusal, refuse
from pipeline.settings import Limit, fits

PERIODS = ("operation", "day", "month")
MONTH_LENGTH = len("2026-11")


def limit_of(body: dict[str, Any], since: int) -> Limit:
    """The limit that the body of a set_limit makes."""
    return Limit(
        name=body["name"],
        per=body["per"],
        currency=body["currency"],
        amount=body["amount"],
        account=body.get("account"),
        operation_kind=body.get("operation_kind"),
        role=body.get("role"),
        since=since,
    )


def period_of(per: str, accepted_at: dt.datetime) -> str:
    """The day or month of UTC that the time belongs to; for a single operation `operation`."""
    if per == "operation":
        return per
    day = accepted_at.astimezone(dt.UTC).date().isoformat()
    return day if per == "day" else day[:MONTH_LENGTH]


def refuse_over_limits(books: Books, legs: Iterable[Leg]) -> Refusal | None:
    """Whether the legs, posted or reserved, would pass a limit; else they count from now on."""
    usage, added = books.usage, dict[Counter, int]()
    assert usage.by is not None, "only what counts comes here"
    leaving = _leaving(books.accounts, legs)
    for limit in _concerning(books, usage.by):
        period = period_of(limit.per, usage.by.accepted_at)
        for account, amount in _counting(books, limit, leaving):
            counter = Counter(limit.name, limit.since, account, period)
            used = usage.used.get(counter, 0) + usage.now.get(counter, 0)
            if limit.per == "operation":
                used = 0
            if used + amount > limit.amount:
                return _reached(limit, counter, used, amount)
            if limit.per != "operation":
                added[counter] = usage.now.get(counter, 0) + amount
    usage.now |= added
    usage.amounts = {}
    return None


def settle(usage: Usage, *, refused: bool) -> None:
    """Count what the operation has used, unless it was refused."""
    if not refused:
        for counter, amount in usage.now.items():
            usage.used[counter] = usage.used.get(counter, 0) + amount
        usage.changed |= usage.now.keys()
    usage.now = {}


def _leaving(accounts: dict[str, Account], legs: Iterable[Leg]) -> dict[str, int]:
    """What leaves each account on its normal side, all legs together."""
    leaving: dict[str, int] = {}
    for code, amount, _currency in legs:
        outwards = amount if accounts[code].type in DEBIT_NORMAL else -amount
        leaving[code] = leaving.get(code, 0) + outwards
    return {code: amount for code, amount in leaving.items() if amount > 0}


def _concerning(books: Books, entry: Entry) -> list[Limit]:
    roles = read_principal(entry.principal).get("roles", ())
    return [
        limit
        for limit in books.settings.limits.values()
        if limit.operation_kind in (None, entry.kind)
        and (limit.role is None or limit.role in roles)
    ]


def _counting(books: Books, limit: Limit, leaving: dict[str, int]) -> Sequence[tuple[str, int]]:
    """The accounts for which the limit counts, and how much."""
    pattern = limit.account
    if pattern is None:
        amount = books.usage.amounts.get(limit.currency, 0)
        return [("", amount)] if amount else []
    return [
        (code, amount)
        for code, amount in leaving.items()
        if books.accounts[code].currency == limit.currency and fits(pattern, code)
    ]


def _reached(limit: Limit, counter: Counter, used: int, amount: int) -> Refusal:
    account = {"account": counter.account} if counter.account else {}
    return refuse(
        "limit_reached",
        name=limit.name,
        period=counter.period,
        **account,
        currency=limit.currency,
        limit=limit.amount,
        used=used,
        amount=amount,
    )
