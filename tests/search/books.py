"""A log at random, and a search that looks at every operation of it: slow, short and right."""

import datetime as dt
import random
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.drain import drain
from pipeline.search.codes import SEGMENT
from pipeline.search.wanted import Wanted
from tests.bank import Bank

OPERATIONS = 2 * SEGMENT + 700
WAITING = {"validate": 40, "post": 30}
CHUNK = 500
SMALL = [f"small:{n}" for n in range(5)]
LARGE = ["large:a", "large:b"]
# More accounts than are merged by their postings.
MANY = [f"many:{n}" for n in range(230)]
# Legs of a journal that says too much to be indexed.
WIDE = 120
VOCABULARY = ["Order", "refund", "Straße", "ﬁnal", "naïve", "MÜLLER", "über-fällig", "a", "ab"]
RARE = ["zebra", "zeppelin", "quark"]


@dataclass
class Line:
    """A posting."""

    leg: int
    code: str
    amount: int
    currency: str


@dataclass
class Record:
    """An operation and what became of it."""

    position: int
    kind: str
    body: dict[str, Any]
    accepted_at: dt.datetime
    status: str
    lines: list[Line] = field(default_factory=list)


def fill(bank: Bank) -> None:
    """Openings, transfers, journals and freezes in a log; the last of them stay before stages."""
    choose = random.Random(7)
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("yen", type="asset", currency="JPY", overdraft="unlimited")
    bank.open("yen:b", type="asset", currency="JPY", overdraft="unlimited")
    for code in (*SMALL, *LARGE, *MANY):
        bank.open(code, overdraft=choose.choice((0, "unlimited")))
    bank.work()
    left = OPERATIONS - 3 - len(SMALL) - len(LARGE) - len(MANY)
    made = [bank.submission(*operation(choose)) for _ in range(left)]
    wait = sum(WAITING.values())
    for start in range(0, len(made) - wait, CHUNK):
        bank.accept(*made[start : min(start + CHUNK, len(made) - wait)])
        bank.work()
    bank.accept(*made[-wait : -WAITING["validate"]])
    drain("validate", bank.ledger)
    bank.accept(*made[-WAITING["validate"] :])


def operation(choose: random.Random) -> tuple[str, dict[str, Any]]:
    """A kind and a body."""
    more: dict[str, Any] = {}
    if choose.random() < 0.5:
        words = choose.choices(VOCABULARY, k=choose.randint(1, 4))
        words += choose.choices(RARE, k=choose.random() < 0.003)
        more["description"] = " ".join([*words, f"No.{choose.randrange(4000)}"])
    if choose.random() < 0.3:
        more["metadata"] = {
            "order": f"O-{choose.randrange(3000)}",
            "shop": choose.randrange(4),
            "paid": choose.random() < 0.5,
        }
    drawn = choose.random()
    if drawn < 0.004:
        return "freeze_account", {"account": "nobody", **more}
    if drawn < 0.02:
        return "journal", journal(choose) | more
    if drawn < 0.03:
        pair, currency = ["yen", "yen:b"], "JPY"
    else:
        pools = (SMALL, LARGE, LARGE, LARGE, MANY, ["world"], ["world"])
        pair, currency = [choose.choice(choose.choice(pools)) for _ in range(2)], "EUR"
    if drawn > 0.99:
        pair[1] = "nobody"
    amount = int(10 ** choose.uniform(0, 6)) if choose.random() < 0.9 else 999
    body = {"source": pair[0], "destination": pair[1], "amount": amount, "currency": currency}
    return "transfer", body | more


def journal(choose: random.Random) -> dict[str, Any]:
    """A few credits of one account, or of several, and a debit of the world."""
    many = choose.randint(1, 5) if choose.random() < 0.95 else WIDE
    amounts = [choose.randrange(1, 5_000) for _ in range(many)]
    codes = choose.choices([*SMALL, *LARGE], k=len(amounts))
    legs = [
        {"account": code, "direction": "credit", "amount": amount, "currency": "EUR"}
        for code, amount in zip(codes, amounts, strict=True)
    ]
    legs.append(
        {"account": "world", "direction": "debit", "amount": sum(amounts), "currency": "EUR"}
    )
    return {"legs": legs}


def read(bank: Bank) -> list[Record]:
    """Every operation of the log, by position."""
    query = (
        "SELECT position, kind, body::text, accepted_at, status FROM operation_statuses"
        " WHERE ledger_id = :ledger ORDER BY position"
    )
    found = {
        row[0]: Record(row[0], row[1], orjson.loads(row[2]), *row[3:]) for row in bank.rows(query)
    }
    lines = (
        "SELECT p.position, p.leg, a.code, p.amount, p.currency FROM postings p JOIN accounts a"
        " ON a.ledger_id = p.ledger_id AND a.number = p.account WHERE p.ledger_id = :ledger"
        " ORDER BY 1, 2"
    )
    for position, *line in bank.rows(lines):
        found[position].lines.append(Line(*line))
    return list(found.values())


def operations(records: list[Record], wanted: Wanted) -> list[int]:
    """The positions of those that are wanted, in the list's order, from any cursor's end."""
    found = [record.position for record in records if _fits(record, wanted)]
    return found[::-1] if wanted.newest else found


def postings(records: list[Record], wanted: Wanted) -> list[tuple[int, int]]:
    """(position, leg) of those that are wanted, in the list's order."""
    found = [
        (record.position, line.leg)
        for record in records
        if _in_time(record, wanted)
        for line in record.lines
        if _line_fits(line, wanted)
    ]
    return found[::-1] if wanted.newest else found


def _fits(record: Record, wanted: Wanted) -> bool:
    codes = [line.code for line in record.lines]
    said = _words(record.body.get("description", ""))
    members = {
        (
            name,
            {True: "true", False: "false"}.get(value, str(value))
            if isinstance(value, bool)
            else str(value),
        )
        for name, value in record.body.get("metadata", {}).items()
    }
    return (
        _in_time(record, wanted)
        and wanted.status in (None, record.status)
        and wanted.kind in (None, record.kind)
        and (wanted.account is None or wanted.account in codes)
        and (wanted.prefix is None or any(code.startswith(wanted.prefix) for code in codes))
        and (wanted.amounts is None or any(_between(n, wanted) for n in _amounts(record)))
        and all(
            any(
                one.startswith(word.letters) if word.begins else one == word.letters for one in said
            )
            for word in wanted.words
        )
        and set(wanted.members) <= members
    )


def _line_fits(line: Line, wanted: Wanted) -> bool:
    return (
        wanted.account in (None, line.code)
        and (wanted.prefix is None or line.code.startswith(wanted.prefix))
        and wanted.currency in (None, line.currency)
        and wanted.direction in (None, "credit" if line.amount > 0 else "debit")
        and (wanted.amounts is None or _between(abs(line.amount), wanted))
    )


def _in_time(record: Record, wanted: Wanted) -> bool:
    return (wanted.since is None or record.accepted_at >= wanted.since) and (
        wanted.until is None or record.accepted_at < wanted.until
    )


def _between(amount: int, wanted: Wanted) -> bool:
    assert wanted.amounts is not None
    return wanted.amounts.low <= amount <= wanted.amounts.high


def _amounts(record: Record) -> list[int]:
    named = [record.body.get("amount", 0), *(leg["amount"] for leg in record.body.get("legs", ()))]
    return named + [abs(line.amount) for line in record.lines]


def _words(text: str) -> list[str]:
    folded = text.casefold().replace("ﬁ", "fi")
    return [word for word in re.split(r"[^a-z0-9äöüßï]+", folded) if word]
