"""Legs become postings together, or are refused together: the heart of the pure core.

The guards stand in the order of precedence; each runs over all legs before the next one does. An
account's limit is judged on what all legs together do to it.
"""

from collections.abc import Sequence

from pipeline.first_use import close_again, open_missing
from pipeline.ledger import (
    DEBIT_NORMAL,
    TOTAL_MAX,
    Account,
    Books,
    Effect,
    Leg,
    Posting,
    new_posting,
)
from pipeline.limits import refuse_over_limits
from pipeline.refusal import Refusal, refuse
from pipeline.require import Requirement, refuse_unmet

# The side that a frozen account keeps closed; an account may be frozen for one side alone.
FROZEN = {
    "frozen": (True, True),
    "frozen_debits": (True, False),
    "frozen_credits": (False, True),
}


def enter(
    books: Books,
    position: int,
    legs: Sequence[Leg],
    *,
    reserve: Sequence[Leg] = (),
    free: Sequence[Leg] = (),
    require: Sequence[Requirement] = (),
) -> Effect:
    """The postings of the legs and of the legs to `reserve`; those to `free` were reserved before.

    What is given back is no movement of money: no status of an account stands in its way.
    """
    accounts = books.accounts
    opened = open_missing(books, (*legs, *reserve)) if books.settings.accounts else ()
    refusal = _refuse_accounts(accounts, [*legs, *reserve] if reserve else legs)
    if refusal is None and require:
        refusal = refuse_unmet(accounts, require)
    if refusal is None and not (reserve or free):
        refusal = _refuse_totals(accounts, legs)
    elif refusal is None:
        refusal = _refuse_layers(accounts, legs, reserve, free)
    if refusal is None and books.usage.by is not None:
        refusal = refuse_over_limits(books, (*legs, *reserve))
    if refusal is not None:
        close_again(books, opened)
        return refusal
    postings = [_posted(books, position, number, leg) for number, leg in enumerate(legs)]
    for sign, layer in ((1, reserve), (-1, free)):
        for leg in layer:
            postings.append(_reserved(books, position, len(postings), leg, sign))
    return postings


def _posted(books: Books, position: int, number: int, leg: Leg) -> Posting:
    code, amount, currency = leg
    account = books.accounts[code]
    if amount < 0:
        account.debits_posted -= amount
    else:
        account.credits_posted += amount
    account.version += 1
    books.moved[code] = account
    balance = account.credits_posted - account.debits_posted
    return new_posting(
        (position, number, account.number, account.version, False, amount, balance, currency)
    )


def _reserved(books: Books, position: int, number: int, leg: Leg, sign: int) -> Posting:
    """The leg reserved (`sign` 1), or what was reserved by it given back (-1)."""
    code, amount, currency = leg
    account = books.accounts[code]
    if amount < 0:
        account.debits_pending -= sign * amount
    else:
        account.credits_pending += sign * amount
    account.pending_version += 1
    books.altered[code] = account
    balance = account.credits_pending - account.debits_pending
    version = account.pending_version
    return Posting(
        position, number, account.number, version, True, sign * amount, balance, currency
    )


def _refuse_accounts(accounts: dict[str, Account], legs: Sequence[Leg]) -> Refusal | None:
    """Most legs are fine, and one look at each says so."""
    for code, _amount, currency in legs:
        account = accounts.get(code)
        if account is None or account.currency != currency or account.status != "open":
            return _first_refusal(accounts, legs)
    return None


def _first_refusal(accounts: dict[str, Account], legs: Sequence[Leg]) -> Refusal | None:
    for code, _amount, _currency in legs:
        if code not in accounts:
            return refuse("unknown_account", account=code)
    for code, _amount, currency in legs:
        if accounts[code].currency != currency:
            return refuse(
                "currency_mismatch",
                account=code,
                account_currency=accounts[code].currency,
                currency=currency,
            )
    for code, _amount, _currency in legs:
        if accounts[code].status == "closed":
            return refuse("account_closed", account=code)
    for code, amount, _currency in legs:
        debits, credits = FROZEN.get(accounts[code].status, (False, False))
        if debits if amount < 0 else credits:
            return refuse("account_frozen", account=code)
    return None


def _refuse_totals(accounts: dict[str, Account], legs: Sequence[Leg]) -> Refusal | None:
    debits: dict[str, int] = {}
    credits: dict[str, int] = {}
    for code, amount, _currency in legs:
        if amount < 0:
            debits[code] = debits.get(code, 0) - amount
        else:
            credits[code] = credits.get(code, 0) + amount
    return _refuse_overflow(accounts, debits, credits) or _refuse_funds(accounts, debits, credits)


def _refuse_overflow(
    accounts: dict[str, Account], debits: dict[str, int], credits: dict[str, int]
) -> Refusal | None:
    for code, amount in debits.items():
        if accounts[code].debits_posted + amount > TOTAL_MAX:
            return refuse("balance_overflow", account=code)
    for code, amount in credits.items():
        if accounts[code].credits_posted + amount > TOTAL_MAX:
            return refuse("balance_overflow", account=code)
    return None


def _refuse_funds(
    accounts: dict[str, Account], debits: dict[str, int], credits: dict[str, int]
) -> Refusal | None:
    for outgoing, incoming, debit_normal in ((debits, credits, False), (credits, debits, True)):
        for code, amount in outgoing.items():
            account = accounts[code]
            if (account.type in DEBIT_NORMAL) is not debit_normal:
                continue
            available = account.available
            wanted = amount - incoming.get(code, 0)
            if available is not None and wanted > 0 and wanted > available:
                return refuse(
                    "insufficient_funds", account=code, available=available, amount=wanted
                )
    return None


def _refuse_layers(
    accounts: dict[str, Account], legs: Sequence[Leg], reserve: Sequence[Leg], free: Sequence[Leg]
) -> Refusal | None:
    """As _refuse_totals, where something is reserved or given back.

    What is reserved counts as gone out, and what is reserved for an account not as come in.
    """
    for posts, layer in ((True, legs), (False, reserve)):
        for code, amount, _currency in layer:
            account = accounts[code]
            posted, pending = account.debits_posted, account.debits_pending
            if amount > 0:
                posted, pending = account.credits_posted, account.credits_pending
            # What is posted here was reserved before, so it stands among what is pending.
            if posted + (0 if posts else pending) + abs(amount) > TOTAL_MAX:
                return refuse("balance_overflow", account=code)
    changes: dict[str, int] = {}
    for code, amount, _currency in legs:
        changes[code] = changes.get(code, 0) + _inwards(accounts[code], amount)
    for sign, layer in ((1, reserve), (-1, free)):
        for code, amount, _currency in layer:
            outwards = min(_inwards(accounts[code], amount), 0)
            changes[code] = changes.get(code, 0) + sign * outwards
    for code, change in changes.items():
        available = accounts[code].available
        if available is not None and change < 0 and available + change < 0:
            return refuse("insufficient_funds", account=code, available=available, amount=-change)
    return None


def _inwards(account: Account, amount: int) -> int:
    """How a leg changes the account's balance on its normal side."""
    return -amount if account.type in DEBIT_NORMAL else amount
