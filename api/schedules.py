"""Schedules: made, paused, resumed and cancelled by operations of the log; read with next times."""

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE
from sqlalchemy import Connection

from api import openapi, shown_schedules, things
from api.answers import answer
from api.auth import may
from api.errors import Problem
from api.intake import json_body, optional_json_body
from api.paging import PLACE_MAX, cursor, number_after, page
from api.parameters import PageQuery
from api.state import state
from api.things import CHANGE_HEADERS, CHANGE_PROBLEMS, LATER, Thing
from models.db import tenant_reading
from models.ledger import LedgerRef
from models.operation import address_of, parse_id
from pipeline import schedules
from pipeline.kinds import OFFERED
from pipeline.permissions import action_of
from pipeline.schedules import NUMBER_MAX, Schedule

blueprint = Blueprint(
    "Schedules",
    __name__,
    url_prefix="/v1/ledgers/<ledger>/schedules",
    description="Operations that happen later, once or by a rule. Each time that comes is an"
    " operation of its own at the end of the log; a time that was missed is made up for once.",
)

CHANGED = {200: ("ScheduleState", "It, as it is now."), 202: LATER}
EXAMPLE = {name: member for name, member in OFFERED["schedule"].example.items() if name != "kind"}
SCHEDULE_ID = {
    "in": "path",
    "name": "schedule_id",
    "description": "The id of the operation that made the schedule.",
    "example": "op_00000000g0r008000001ab2c3d",
}


@blueprint.route("", methods=["POST"], parameters=openapi.in_ledger())
@blueprint.doc(
    **openapi.route(
        {
            201: ("ScheduleState", "It waits for its first time."),
            200: ("ScheduleState", "A replay."),
            202: LATER,
        },
        body=openapi.json_body("NewSchedule", EXAMPLE),
        headers=CHANGE_HEADERS,
        problems=CHANGE_PROBLEMS,
        action="operation.schedule",
    )
)
def make(ledger: str) -> Response:
    """Make a schedule

    Puts a `schedule` operation into the log and waits until it is posted, 5 seconds or what
    `Prefer: wait=N` says.
    """
    who = may(action_of("schedule"))
    book = state().books.find(who, ledger)
    done = ("posted", "pending")
    return things.perform(who, book, "schedule", json_body(), _thing, makes=True, done=done)


@blueprint.route("", methods=["GET"], parameters=openapi.in_ledger())
@blueprint.arguments(PageQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("ScheduleStateList", "One page, newest first.")},
        problems=("invalid_cursor", "unknown_ledger", "invalid_request"),
        action="schedules.read",
    )
)
def show_many(query: dict[str, Any], ledger: str) -> Response:
    """List schedules"""
    who = may("schedules.read")
    book = state().books.find(who, ledger)
    before = number_after("schedules", query.get("after"))
    limit = query["limit"]
    with tenant_reading(who.tenant_id, state().engine) as connection:
        start = PLACE_MAX if before is None else before
        found = schedules.page(connection, book, start, limit + 1)
    following = cursor("schedules", found[limit - 1].position) if len(found) > limit else None
    shown = [shown_schedules.schedule(book, one) for one in found[:limit]]
    return answer(page(shown, following))


@blueprint.route("/<schedule_id>", methods=["GET"], parameters=openapi.in_ledger(SCHEDULE_ID))
@blueprint.doc(
    **openapi.route(
        {200: ("ScheduleState", "It, as it is now.")},
        problems=("unknown_ledger", "unknown_schedule"),
        action="schedules.read",
    )
)
def show(ledger: str, schedule_id: str) -> Response:
    """Show a schedule"""
    who = may("schedules.read")
    return answer(_shown(state().books.find(who, ledger), schedule_id))


@blueprint.route(
    "/<schedule_id>/occurrences", methods=["GET"], parameters=openapi.in_ledger(SCHEDULE_ID)
)
@blueprint.arguments(PageQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("OccurrenceList", "One page, newest first.")},
        problems=("invalid_cursor", "unknown_ledger", "unknown_schedule", "invalid_request"),
        action="schedules.read",
    )
)
def show_occurrences(query: dict[str, Any], ledger: str, schedule_id: str) -> Response:
    """List a schedule's occurrences

    Each time that has come, the refused ones too.
    """
    who = may("schedules.read")
    book = state().books.find(who, ledger)
    before = number_after("occurrences", query.get("after"))
    limit = query["limit"]
    with tenant_reading(who.tenant_id, state().engine) as connection:
        of = _find(connection, book, schedule_id)
        start = NUMBER_MAX if before is None else min(before, NUMBER_MAX)
        found = schedules.occurrences(connection, book, of, start, limit + 1)
    following = cursor("occurrences", found[limit - 1].number) if len(found) > limit else None
    shown = [shown_schedules.occurrence(one) for one in found[:limit]]
    return answer(page(shown, following))


@blueprint.route(
    "/<schedule_id>/pause", methods=["POST"], parameters=openapi.in_ledger(SCHEDULE_ID)
)
@blueprint.doc(**things.changing("pause_schedule", CHANGED))
def pause(ledger: str, schedule_id: str) -> Response:
    """Pause a schedule

    Nothing of it happens until it is resumed.
    """
    return _perform_on(ledger, "pause_schedule", schedule_id)


@blueprint.route(
    "/<schedule_id>/resume", methods=["POST"], parameters=openapi.in_ledger(SCHEDULE_ID)
)
@blueprint.doc(**things.changing("resume_schedule", CHANGED))
def resume(ledger: str, schedule_id: str) -> Response:
    """Resume a schedule

    It goes on with its next time from now on. What it missed is not made up for.
    """
    return _perform_on(ledger, "resume_schedule", schedule_id)


@blueprint.route(
    "/<schedule_id>/cancel", methods=["POST"], parameters=openapi.in_ledger(SCHEDULE_ID)
)
@blueprint.doc(**things.changing("cancel_schedule", CHANGED))
def cancel(ledger: str, schedule_id: str) -> Response:
    """Cancel a schedule

    It ends. What has happened by then stays as it is.
    """
    return _perform_on(ledger, "cancel_schedule", schedule_id)


def _perform_on(ledger: str, kind: str, schedule_id: str) -> Response:
    """Put an operation about the schedule that stands in the address into the log."""
    who = may(action_of(kind))
    book = state().books.find(who, ledger)
    members = optional_json_body()
    things.add_named(members, "target", schedule_id, "schedule")
    return things.perform(who, book, kind, members, _thing)


def _thing(book: LedgerRef, operation: dict[str, Any]) -> Thing:
    schedule_id = operation["id" if operation["kind"] == "schedule" else "target"]
    return Thing(f"schedules/{schedule_id}", _shown(book, schedule_id))


def _shown(book: LedgerRef, schedule_id: str) -> dict[str, Any]:
    with tenant_reading(book.tenant_id, state().engine) as connection:
        return shown_schedules.schedule(book, _find(connection, book, schedule_id))


def _find(connection: Connection, book: LedgerRef, schedule_id: str) -> Schedule:
    """The schedule that the operation made; raises Problem."""
    id_ = parse_id(schedule_id)
    if id_ is not None and address_of(id_).ledger_id == book.ledger_id:
        for found in schedules.schedules(connection, book, [address_of(id_).position]):
            if found.id == id_:
                return found
    raise Problem(
        "unknown_schedule",
        "Check the id, and the ledger. One that is not posted yet, or was rejected, is shown among"
        " the operations.",
    )
