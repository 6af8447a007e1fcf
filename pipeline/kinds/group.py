"""group: up to 1,000 operations that all take effect, or none of them does.

They take effect in their order, as if each stood in the log by itself, so a later one finds the
accounts as the ones before left them. Their legs are numbered on through the group. The group has
one id: what its members posted is reversed together. What waits for a decision needs an id of its
own, so it is no member of a group (`alone`).
"""

from collections.abc import Iterable
from typing import Any

from marshmallow import fields as marshmallow_fields
from marshmallow import validate

import pipeline.kinds as every_kind
from models.operation import parse_id
from pipeline.decide import itself, position_of, posted_as
from pipeline.kinds import fields
from pipeline.kinds.inner import InnerField, named
from pipeline.kinds.kind import Body, Kind, no_one
from pipeline.ledger import Books, Effect, Entry, Posting, inner
from pipeline.principal import read_principal, refuse_over_limit
from pipeline.refusal import Refusal, refuse
from pipeline.undo import Mark, mark, put_back

MEMBERS_MAX = 1_000
# Ten journals of the greatest size, or a thousand transfers with four fees each: a run stays small
# enough for one transaction.
LEGS_MAX = 10_000


class Schema(fields.OperationSchema):
    """The operations, each with its kind and its members, as they would be sent alone."""

    operations = marshmallow_fields.List(
        InnerField(lambda kind: not kind.alone),
        required=True,
        validate=validate.Length(
            1, MEMBERS_MAX, error="A group has {min} to {max} operations; this one has not."
        ),
    )


def members(body: Body) -> list[tuple[str, Body]]:
    """The operations, as (kind, body)."""
    return [inner(one) for one in body["operations"]]


def accounts(body: Body) -> tuple[str, ...]:
    """The codes that they touch."""
    return named(lambda kind: kind.accounts, members(body))


def targets(body: Body) -> tuple[str, ...]:
    """The operations that they decide."""
    return named(lambda kind: kind.targets, members(body))


def amounts(body: Body) -> dict[str, int]:
    """What they move together, by currency."""
    sums: dict[str, int] = {}
    for name, one in members(body):
        for currency, amount in every_kind.kind_of(name).amounts(one).items():
            sums[currency] = sums.get(currency, 0) + amount
    return sums


def failed(index: int, name: str, refusal: Refusal) -> Refusal:
    """The group is refused because of this member."""
    return refuse("group_failed", index=index, kind=name, code=refusal.code, detail=refusal.detail)


def apply(books: Books, entry: Entry) -> Effect:
    """The postings of all, or why not; then the books are as they were."""
    before = _mark(books, entry)
    effect = _all(books, entry)
    if isinstance(effect, Refusal):
        put_back(books, before)
    return effect


def _mark(books: Books, entry: Entry) -> Mark:
    """Where everything stands that members may change: what they name, and what that names."""
    codes = dict.fromkeys(accounts(entry.body))
    positions = [entry.position]
    for shown in targets(entry.body):
        position = position_of(parse_id(shown), entry.ledger_id)
        target = None if position is None else books.targets.get(position)
        if target is not None and not target.rejected:
            done = posted_as(books, target)
            positions += [target.entry.position, done.entry.position]
            named_by = itself(books, target)
            codes |= dict.fromkeys(every_kind.kind_of(named_by.kind).accounts(named_by.body))
            codes |= dict.fromkeys(leg[0] for leg in done.legs)
    return mark(books, codes, positions)


def _all(books: Books, entry: Entry) -> Effect:
    postings: list[Posting] = []
    taken: dict[str, int] = {}
    for index, (name, body) in enumerate(members(entry.body)):
        kind = every_kind.kind_of(name)
        effect = kind.apply(books, entry._replace(kind=name, body=body))
        if isinstance(effect, Refusal):
            return failed(index, name, effect)
        before = len(postings)
        if before + len(effect) > LEGS_MAX:
            return refuse("group_too_large", index=index, most=LEGS_MAX)
        postings += (leg._replace(leg=leg.leg + before) for leg in effect)
        if kind.targets is not no_one:
            _add_credits(taken, effect)
    return _refuse_sums(entry, taken) or postings


def _add_credits(taken: dict[str, int], postings: Iterable[Posting]) -> None:
    for posting in postings:
        if not posting.pending and posting.amount > 0:
            taken[posting.currency] = taken.get(posting.currency, 0) + posting.amount


def _refuse_sums(entry: Entry, taken: dict[str, int]) -> Refusal | None:
    """What members took of their targets, which authorize cannot see, counts with what it saw."""
    if not taken or read_principal(entry.principal).get("limits") is None:
        return None
    seen = amounts(entry.body)
    for currency, amount in taken.items():
        over = refuse_over_limit(entry.principal, currency, amount + seen.get(currency, 0))
        if over is not None:
            return over
    return None


EXAMPLE: dict[str, Any] = {
    "kind": "group",
    "operations": [
        {
            "kind": "transfer",
            "source": "customers:42",
            "destination": "merchants:7",
            "amount": 2500,
            "currency": "USD",
        },
        {
            "kind": "transfer",
            "source": "merchants:7",
            "destination": "income:fees",
            "amount": 75,
            "currency": "USD",
        },
    ],
    "description": "Order 8124, and what we take of it",
}

KIND = Kind(
    name="group",
    posts=None,
    schema=Schema(),
    example=EXAMPLE,
    accounts=accounts,
    targets=targets,
    amounts=amounts,
    inner=members,
    failed=failed,
    opens=True,
    alone=True,
    apply=apply,
)
