"""The limits of random logs, held against a count of the whole log for each operation."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kinds import kind_of
from pipeline.ledger import Account, Books, Entry
from pipeline.perform import perform
from pipeline.refusal import Refusal
from pipeline.strict_json import canonical

CODES = ("a:1", "a:2", "b", "till")
DEBIT_NORMAL = ("till",)
START = dt.datetime(2026, 10, 30, 22, tzinfo=dt.UTC)
ROLES = (["submitter"], ["submitter", "teller"])


class Step(NamedTuple):
    """An operation, by whom, and how many hours after the one before."""

    kind: str
    body: dict[str, Any]
    roles: list[str]
    hours: int


@dataclass
class Done:
    """An operation that was let through: what it moved, and what left which account."""

    position: int
    kind: str
    roles: list[str]
    day: str
    amount: int
    leaving: dict[str, int]


AMOUNTS = st.integers(1, 6)
PAIRS = st.permutations(CODES).map(lambda codes: codes[:2])


@st.composite
def payments(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    source, destination = draw(PAIRS)
    body = {"source": source, "destination": destination}
    kind = draw(st.sampled_from(["transfer", "transfer", "hold"]))
    return kind, {**body, "amount": draw(AMOUNTS), "currency": "EUR"}


@st.composite
def journals(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    out = draw(st.lists(st.tuples(st.sampled_from(CODES), AMOUNTS), min_size=1, max_size=3))
    legs = [(code, "debit", amount) for code, amount in out]
    legs.append((draw(st.sampled_from(CODES)), "credit", sum(amount for _, amount in out)))
    names = ("account", "direction", "amount", "currency")
    made = [dict(zip(names, (*leg, "EUR"), strict=True)) for leg in legs]
    return "journal", {"legs": made}


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = {"name": draw(st.sampled_from(["x", "y"]))}
    if draw(st.integers(0, 4)) == 0:
        return "remove_limit", name
    optional = {
        "account": draw(st.sampled_from([None, "*", "a:*", "a:1", "till"])),
        "operation_kind": draw(st.sampled_from([None, None, "transfer", "hold"])),
        "role": draw(st.sampled_from([None, None, "teller"])),
    }
    return "set_limit", {
        **name,
        "per": draw(st.sampled_from(["operation", "day", "month"])),
        "currency": draw(st.sampled_from(["EUR", "EUR", "EUR", "USD"])),
        "amount": draw(st.integers(0, 12)),
        **{member: value for member, value in optional.items() if value is not None},
    }


STEPS = st.builds(
    lambda operation, roles, hours: Step(operation[0], operation[1], roles, hours),
    st.one_of(payments(), payments(), payments(), journals(), rules()),
    st.sampled_from(ROLES),
    st.sampled_from([0, 0, 0, 1, 5, 24]),
)


def books() -> Books:
    """Accounts without any bound of their own: nothing but a limit stands in the way."""
    types = {code: "asset" if code in DEBIT_NORMAL else "liability" for code in CODES}
    every = [Account(n, code, types[code], "EUR", None) for n, code in enumerate(CODES, 1)]
    return Books({account.code: account for account in every})


def entries(steps: list[Step]) -> Iterator[tuple[Step, Entry]]:
    """The steps as the core sees them."""
    at = START
    for position, step in enumerate(steps, 1):
        at += dt.timedelta(hours=step.hours)
        principal = canonical({"roles": ["admin", *step.roles], "sub": "x"}).decode()
        yield step, Entry(1, position, step.kind, step.body, at, principal)


def what_it_does(step: Step, entry: Entry) -> Done:
    """What the operation would move, from its body alone."""
    if step.kind == "journal":
        signed = [(leg, 1 if leg["direction"] == "credit" else -1) for leg in step.body["legs"]]
        legs = [(leg["account"], sign * leg["amount"]) for leg, sign in signed]
    else:
        amount = step.body["amount"]
        legs = [(step.body["source"], -amount), (step.body["destination"], amount)]
    net = {code: sum(amount for other, amount in legs if other == code) for code, _ in legs}
    out = {code: net[code] if code in DEBIT_NORMAL else -net[code] for code in net}
    moved = sum(amount for _, amount in legs if amount > 0)
    day = entry.accepted_at.date().isoformat()
    leaving = {code: amount for code, amount in out.items() if amount > 0}
    return Done(entry.position, step.kind, step.roles, day, moved, leaving)


def is_over(limit: dict[str, Any], since: int, past: list[Done], new: Done) -> bool:
    """Whether the limit, in force since a position, is passed: by counting everything again."""

    def counts(done: Done) -> bool:
        same = {"operation": done is new, "day": done.day == new.day}
        return (
            done.position > since
            and limit["currency"] == "EUR"
            and limit.get("operation_kind") in (None, done.kind)
            and (limit.get("role") is None or limit["role"] in done.roles)
            and same.get(limit["per"], done.day[:7] == new.day[:7])
        )

    counting = [done for done in (*past, new) if counts(done)]
    if not counts(new):
        return False
    if "account" not in limit:
        return sum(done.amount for done in counting) > limit["amount"]
    prefix = limit["account"].removesuffix("*")
    return any(
        sum(done.leaving.get(code, 0) for done in counting) > limit["amount"]
        for code in new.leaving
        if code == limit["account"] or (prefix != limit["account"] and code.startswith(prefix))
    )


def same_but_amount(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two limits count the same."""
    return {**one, "amount": 0} == {**other, "amount": 0}


@given(st.lists(STEPS, min_size=10, max_size=40))
@settings(max_examples=200, deadline=None)
def test_limits_are_exact(steps: list[Step]) -> None:
    """Each operation is let through exactly if a recount of the whole log lets it through."""
    ledger, past = books(), list[Done]()
    limits: dict[str, tuple[dict[str, Any], int]] = {}
    for step, entry in entries(steps):
        effect = perform(ledger, entry)
        refused = effect.code if isinstance(effect, Refusal) else None
        if step.kind == "remove_limit":
            known = limits.pop(step.body["name"], None)
            assert refused == (None if known else "unknown_rule")
        elif step.kind == "set_limit":
            before = limits.get(step.body["name"])
            kept = before is not None and same_but_amount(before[0], step.body)
            since = before[1] if before and kept else entry.position
            limits[step.body["name"]] = step.body, since
        else:
            assert kind_of(step.kind).posts
            new = what_it_does(step, entry)
            over = any(is_over(limit, since, past, new) for limit, since in limits.values())
            assert refused == ("limit_reached" if over else None)
            if not over:
                past.append(new)
    assert ledger.usage.now == {}
