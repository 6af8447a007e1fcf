"""Operations within operations: what a group holds, and what a schedule does when its time comes.

An inner operation is a member of the outer one's body, with its `kind` beside its members. It is
shaped, validated and authorized as if it stood in the log by itself. Only its date is not its own:
what one operation of the log posts counts on one day, so that each of its days balances.
"""

from collections.abc import Callable, Iterable
from typing import Any

from marshmallow import ValidationError, fields

import pipeline.kinds as every_kind
from pipeline.kinds.kind import Body, Kind
from pipeline.ledger import Books, Effect, Entry, inner

Members = dict[str, Any]

NO_DATE = (
    "What an operation holds has no date of its own. The date of a group stands beside its"
    " `operations`; what a schedule does counts on the day on which it does it."
)


class InnerField(fields.Field[Members]):
    """One operation of a kind that `fits`."""

    def __init__(self, fits: Callable[[Kind], bool], **kwargs: Any) -> None:
        super().__init__(metadata={"$ref": "#/components/schemas/Submission"}, **kwargs)
        self._fits = fits

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Members:
        if not isinstance(value, dict):
            raise ValidationError("An operation is a JSON object with a kind.")
        members = dict(value)
        name = members.pop("kind", None)
        kind = every_kind.OFFERED.get(name) if isinstance(name, str) else None
        if kind is None or not self._fits(kind):
            known = sorted(name for name, kind in every_kind.OFFERED.items() if self._fits(kind))
            raise ValidationError({"kind": [f"`kind` is one of {', '.join(known)} here."]})
        if "effective_date" in members:
            raise ValidationError({"effective_date": [NO_DATE]})
        return {"kind": name, **kind.schema.load(members)}


def contains(name: str, body: Body, wanted: str) -> bool:
    """Whether the operation is of the wanted kind, or holds one that is."""
    if name == wanted:
        return True
    return any(contains(*one, wanted) for one in every_kind.kind_of(name).inner(body))


def apply(books: Books, entry: Entry, members: Members) -> Effect:
    """What the inner operation does at the place, and in the name, of the entry."""
    name, body = inner(members)
    return every_kind.kind_of(name).apply(books, entry._replace(kind=name, body=body))


def named(
    name_of: Callable[[Kind], Callable[[Body], Iterable[str]]],
    inners: Iterable[tuple[str, Body]],
) -> tuple[str, ...]:
    """What the inner operations name, each once, in their order: `accounts`, `targets` …"""
    found = (name for kind, body in inners for name in name_of(every_kind.kind_of(kind))(body))
    return tuple(dict.fromkeys(found))
