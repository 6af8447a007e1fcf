"""Logs for the pure core, drawn by Hypothesis: operations of every kind, good and bad."""

import datetime as dt
from typing import Any

from hypothesis import strategies as st

from models.operation import make_id, show_id
from pipeline.ledger import AMOUNT_MAX, Books, Entry, Posting, Target
from pipeline.perform import perform
from pipeline.principal import SCHEDULER
from pipeline.refusal import Refusal
from pipeline.strict_json import canonical
from pipeline.validate import meaning_of

# Who may do everything, also what Trident alone submits.
EVERYBODY = canonical({"roles": ["admin", SCHEDULER], "sub": "test"}).decode()
AT = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
CODES = ["world", "a", "b", "c"]
NAMED = st.sampled_from([*CODES, *CODES, *CODES, "new", "missing"])
Log = list[tuple[str, dict[str, Any]]]
Drawn = tuple[str, dict[str, Any]]
Outcome = tuple[Books, list[Posting], list[Refusal]]

OPENED: Log = [
    ("open_account", {"code": code, "type": type_, "currency": currency, "overdraft": overdraft})
    for code, type_, currency, overdraft in (
        ("world", "asset", "EUR", "unlimited"),
        ("a", "liability", "EUR", 0),
        ("b", "liability", "EUR", 100),
        ("c", "liability", "EUR", 0),
        ("usd", "liability", "USD", 50),
        ("exchange:EUR", "equity", "EUR", "unlimited"),
        ("exchange:USD", "equity", "USD", 300),
    )
]


def _move(kind: str, source: str, destination: str, amount: int, **more: Any) -> Drawn:
    ends = {"source": source, "destination": destination}
    return kind, {**ends, "amount": amount, "currency": "EUR", **more}


def _occur(schedule: int, number: int) -> Drawn:
    target = show_id(make_id(1, schedule, 0))
    return "occur", {"target": target, "number": number, "due": AT.isoformat()}


def _minutely(kind: str, body: dict[str, Any]) -> Drawn:
    times = {"rule": "FREQ=MINUTELY", "starts_at": AT.isoformat()}
    return "schedule", {"operation": {"kind": kind, **body}, **times}


START: Log = [
    *OPENED,
    _move("transfer", "world", "a", 20_000),
    _move("transfer", "world", "b", 10_000),
    _move("transfer", "a", "b", 50),
    _move("transfer", "a", "b", 300, fees=[{"account": "world", "amount": 20}]),
    _move("hold", "a", "b", 400),
    _move("hold", "b", "c", 200),
]
BEFORE_SCHEDULES = len(START)
START += [
    _minutely(*_move("hold", "a", "c", 250)),
    _minutely(
        "group",
        {
            "operations": [
                {
                    "kind": "capture",
                    "target": show_id(make_id(1, BEFORE_SCHEDULES, 0)),
                    "amount": 30,
                },
                {"kind": "transfer", **_move("transfer", "a", "b", 70)[1]},
            ]
        },
    ),
    _occur(BEFORE_SCHEDULES + 1, 0),
    _occur(BEFORE_SCHEDULES + 2, 0),
]
LOG_MAX = 40


def bounds() -> st.SearchStrategy[dict[str, Any]]:
    """A condition that may hold or not."""
    return st.one_of(
        st.integers(-100, 300).map(lambda n: {"available": {"gte": n}}),
        st.integers(-100, 300).map(lambda n: {"balance": {"lte": n}}),
        st.integers(0, 5).map(lambda n: {"version": n}),
    )


@st.composite
def moves(draw: st.DrawFn) -> dict[str, Any]:
    """What transfers and holds have in common."""
    source, destination = draw(NAMED), draw(NAMED)
    body: dict[str, Any] = {
        "source": source,
        "destination": destination,
        "amount": draw(st.integers(1, 500) | st.just(AMOUNT_MAX)),
        "currency": draw(st.sampled_from(["EUR", "EUR", "EUR", "USD"])),
    }
    if draw(st.integers(0, 4)) == 0:
        body["require"] = {draw(st.sampled_from(["source", "destination"])): draw(bounds())}
    return body


@st.composite
def transfers(draw: st.DrawFn) -> Drawn:
    """Some with fees."""
    body = draw(moves())
    if draw(st.integers(0, 3)) == 0:
        size = st.integers(1, 30).map(lambda n: {"amount": n}) | st.just({"share": "12.5"})
        account = NAMED.map(lambda code: {"account": code})
        fee = st.tuples(account, size).map(lambda parts: parts[0] | parts[1])
        body["fees"] = draw(st.lists(fee, min_size=1, max_size=3))
        body["fees_from"] = draw(st.sampled_from(["source", "destination"]))
    return "transfer", body


@st.composite
def journals(draw: st.DrawFn) -> Drawn:
    """Debits, and a credit that balances them or is divided."""
    amounts = draw(st.lists(st.integers(1, 300), min_size=1, max_size=4))
    legs: list[dict[str, Any]] = [
        {"account": draw(NAMED), "direction": "debit", "amount": amount, "currency": "EUR"}
        for amount in amounts
    ]
    if draw(st.booleans()):
        credit = {"amount": sum(amounts), "currency": "EUR"}
        legs.append({"account": draw(NAMED), "direction": "credit", **credit})
        return "journal", {"legs": draw(st.permutations(legs))}
    for size in ({"share": "33.4"}, {"share": "14.28"}, {"remainder": True}):
        legs.append({"account": draw(NAMED), "direction": "credit", **size})
    total = {"amount": sum(amounts), "currency": "EUR"}
    return "journal", {"total": total, "legs": draw(st.permutations(legs))}


@st.composite
def exchanges(draw: st.DrawFn) -> Drawn:
    """Between the accounts in EUR and the one in USD."""
    sides = [(draw(NAMED), "EUR"), ("usd", "USD")]
    (source, currency), (destination, to_currency) = draw(st.permutations(sides))
    body = {
        "source": source,
        "destination": destination,
        "amount": draw(st.integers(1, 200)),
        "currency": currency,
        "to_currency": to_currency,
        "rate": draw(st.sampled_from(["1.0842", "0.005", "3"])),
    }
    if draw(st.booleans()):
        body["spread"] = {"account": draw(NAMED | st.just("usd")), "share": "1.5"}
    return "exchange", body


@st.composite
def decisions(draw: st.DrawFn) -> Drawn:
    """About an operation that may be there, and may be one that can be decided."""
    kind = draw(st.sampled_from(["capture", "capture", "release", "expire", "reversal"]))
    position = draw(st.integers(len(OPENED) + 1, len(START)) | st.integers(1, LOG_MAX))
    body: dict[str, Any] = {"target": show_id(make_id(1, position, 0))}
    if kind in ("capture", "reversal") and draw(st.booleans()):
        body["amount"] = draw(st.integers(1, 300))
    if kind == "capture" and draw(st.booleans()):
        body["final"] = draw(st.booleans())
    return kind, body


@st.composite
def occurrences(draw: st.DrawFn) -> Drawn:
    """Of one of the schedules, at its turn or not."""
    return _occur(BEFORE_SCHEDULES + draw(st.integers(1, 2)), draw(st.integers(0, 3)))


@st.composite
def changes(draw: st.DrawFn) -> Drawn:
    """Of an account's status."""
    kind = draw(st.sampled_from(["freeze", "unfreeze", "unfreeze", "close", "reopen"]))
    modes = st.sampled_from(["both", "debits", "credits"]).map(lambda mode: {"mode": mode})
    return f"{kind}_account", {"account": draw(NAMED), **(draw(modes) if kind == "freeze" else {})}


@st.composite
def overdrafts(draw: st.DrawFn) -> Drawn:
    """Another overdraft."""
    overdraft = draw(st.integers(0, 400) | st.just("unlimited"))
    return "update_account", {"account": draw(NAMED), "overdraft": overdraft}


@st.composite
def openings(draw: st.DrawFn) -> Drawn:
    """Of accounts, some of which are open."""
    return "open_account", {
        "code": draw(NAMED),
        "type": draw(st.sampled_from(["asset", "liability"])),
        "currency": draw(st.sampled_from(["EUR", "EUR", "USD"])),
        "overdraft": draw(st.sampled_from([0, 100, "unlimited"])),
    }


HOLDS = moves().map(lambda body: ("hold", body))
MEMBERS = st.one_of(
    transfers(), journals(), exchanges(), decisions(), changes(), overdrafts(), openings()
).filter(lambda drawn: drawn[0] != "expire")
GROUPS = st.lists(MEMBERS, min_size=1, max_size=5).map(
    lambda members: ("group", {"operations": [{"kind": kind, **body} for kind, body in members]})
)
LOGS = st.lists(
    st.one_of(transfers(), HOLDS, decisions(), occurrences(), GROUPS, MEMBERS), max_size=LOG_MAX
).map(lambda log: START + log)


def entry(position: int, kind: str, body: dict[str, Any]) -> Entry:
    """As post makes it of a row of the log."""
    return Entry(1, position, kind, body, AT, EVERYBODY)


def begin(log: Log) -> Books:
    """Empty books, for which every operation of the log may be a target of others."""
    targets = {
        position: Target(make_id(1, position, 0), entry(position, kind, body))
        for position, (kind, body) in enumerate(log, start=1)
    }
    return Books(targets=targets)


def pass_one(
    books: Books, position: int, kind: str, body: dict[str, Any]
) -> list[Posting] | Refusal:
    """One operation through validate and the core."""
    refusal = meaning_of(kind, body, AT)
    if refusal is not None:
        books.targets[position].rejected = True
        return refusal
    return perform(books, entry(position, kind, body))


def play(log: Log, books: Books, start: int = 1) -> Outcome:
    """The log through the core, its first operation at position `start`."""
    postings: list[Posting] = []
    refusals: list[Refusal] = []
    for position, (kind, body) in enumerate(log, start):
        effect = pass_one(books, position, kind, body)
        if isinstance(effect, Refusal):
            refusals.append(effect)
        else:
            postings += effect
    return books, postings, refusals
