"""Routes about one thing: an operation about it goes into the log, and the thing is the answer."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Response

from api import openapi, outcomes
from api.answers import answer
from api.errors import Rejected, invalid_members
from api.intake import header_key, read_kind
from api.operations import INTAKE_PROBLEMS
from api.tokens import Principal
from api.waiting import wanted_wait_s
from models.ledger import LedgerRef
from pipeline.permissions import action_of

# Such an operation is over in 20 ms; five seconds outlast a restart of the workers.
DEFAULT_WAIT_S = 5
CHANGE_PROBLEMS = (*INTAKE_PROBLEMS, "operation_rejected")
CHANGE_HEADERS = (openapi.IDEMPOTENCY_KEY, openapi.PREFER)
LATER = ("Operation", "It takes longer: the operation is in the log and not final yet.")
REMARK = openapi.json_body("Remark", {"description": "Asked for by the owner"}, required=False)


def changing(kind: str, changed: Any, body: Any = REMARK) -> dict[str, Any]:
    """The documentation of a route that changes one thing by an operation of this kind."""
    return openapi.route(
        changed,
        body=body,
        headers=CHANGE_HEADERS,
        problems=CHANGE_PROBLEMS,
        action=action_of(kind),
    )


class Thing(NamedTuple):
    """What an operation was about: where it is, within its ledger, and how it is now."""

    path: str
    shown: dict[str, Any]


def perform(
    who: Principal,
    book: LedgerRef,
    kind: str,
    members: Any,
    thing_of: Callable[[LedgerRef, dict[str, Any]], Thing],
    *,
    makes: bool = False,
    done: tuple[str, ...] = ("posted",),
) -> Response:
    """Put the operation into the log; answer with its thing once it is done, or with itself.

    `makes`: the thing is new, unless the request had been made before. Raises Problem.
    """
    read = read_kind(who, header_key(), kind, members)
    outcome, waited_s = outcomes.hand_in(book, read, wanted_wait_s(DEFAULT_WAIT_S))
    operation = outcome.operation
    if operation["status"] == "rejected":
        raise Rejected(operation)
    if operation["status"] not in done:
        return outcome.response(waited_s)
    thing = thing_of(book, operation)
    where = {"Location": f"/v1/ledgers/{book.name}/{thing.path}"}
    status = 201 if makes and not outcome.replayed else 200
    return answer(thing.shown, status, outcome.headers(waited_s) | where)


def add_named(members: Any, name: str, value: str, what: str) -> None:
    """Add the thing that stands in the address to the members of the body; raises Problem."""
    if isinstance(members, dict):
        if name in members:
            raise invalid_members({name: f"The {what} stands in the address already."})
        members[name] = value
