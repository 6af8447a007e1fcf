"""Many operations in one request, each with an outcome of its own: one bad item stops no other."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from flask import Response

from api.answers import answer
from api.errors import Problem
from api.intake import Read
from api.outcomes import problem, with_events
from api.parameters import BULK_STATUSES
from api.parcel import Answer
from api.privacy import edge
from api.state import state
from models.ledger import LedgerRef
from models.operation import show_id
from pipeline.receipt import Accepted

BY_CODE = {
    "forbidden": "forbidden",
    "idempotency_key_reused": "conflict",
    "subject_erased": "conflict",
    "subject_restricted": "conflict",
    "ledger_behind": "behind",
}
# Problems with these statuses are Trident's, not the item's: it may be sent again as it is.
OURS = 500

ReadItem = Callable[[Any], Read]


def hand_in(ledger: LedgerRef, items: Sequence[Any], read_item: ReadItem) -> list[dict[str, Any]]:
    """Store the items in their order; an outcome for each one. Raises Problem if none got through.

    `read_item` makes a submission of an item, or raises Problem.
    """
    read = _prepared(ledger, [_try(read_item, item) for item in items])
    good = [one.submission for one in read if isinstance(one, Read)]
    received = iter(state().writer.put_all(ledger, good) if good else ())
    outcomes = [
        _refused(index, one) if isinstance(one, Problem) else _outcome(index, next(received))
        for index, one in enumerate(read)
    ]
    if all(outcome["status"] == "unavailable" for outcome in outcomes):
        first = outcomes[0]["error"]
        raise Problem(first["code"], first["detail"])
    return outcomes


def response(
    outcomes: Sequence[dict[str, Any]], statuses: Sequence[str] = BULK_STATUSES
) -> Response:
    """The answer: the outcomes, and how many there are of each status."""
    counted = Counter(outcome["status"] for outcome in outcomes)
    counts = {status: counted[status] for status in statuses}
    return answer({"object": "bulk", **counts, "data": outcomes})


def _try(read_item: ReadItem, item: Any) -> Read | Problem:
    try:
        return read_item(item)
    except Problem as refusal:
        return refusal


def _prepared(ledger: LedgerRef, read: Sequence[Read | Problem]) -> list[Read | Problem]:
    """What could be read, sealed and with its events; what could not stays where it is."""
    made = _each(read, lambda good: edge.seal_many(ledger, good))
    return _each(made, lambda good: with_events(ledger, good))


def _each(
    read: Sequence[Read | Problem], prepare: Callable[[Sequence[Read]], Sequence[Read | Problem]]
) -> list[Read | Problem]:
    prepared = iter(prepare([one for one in read if isinstance(one, Read)]))
    return [next(prepared) if isinstance(one, Read) else one for one in read]


def _outcome(index: int, received: Answer) -> dict[str, Any]:
    if not isinstance(received, Accepted):
        return _refused(index, problem(received))
    return {
        "index": index,
        "status": "replayed" if received.replayed else "accepted",
        "id": show_id(received.id),
        "position": received.position,
    }


def _refused(index: int, refusal: Problem) -> dict[str, Any]:
    fallback = "unavailable" if refusal.status >= OURS else "invalid"
    return {
        "index": index,
        "status": BY_CODE.get(refusal.code, fallback),
        "error": refusal.body(),
    }
