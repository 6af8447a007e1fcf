"""Schedules as people read them: what they wait for, and what came of the times that they had.

The occurrences of a schedule are found by their idempotency keys, which number them.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection

from models.ledger import LedgerRef
from models.operation import show_id
from pipeline import arrays
from pipeline.idempotency import DUE

STATES = ("active", "paused", "ended", "cancelled")
# Not posted yet; the operation took effect; it was refused; there was no time left.
OUTCOMES = ("accepted", "posted", "rejected", "ended")
# Above every number of a change.
NUMBER_MAX = 2**31

PAGE = """
SELECT target FROM decisions
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND effect = 'schedule' AND target < %(before)s
 ORDER BY target DESC LIMIT %(many)s
"""

SCHEDULES = """
SELECT wanted.position, o.id::text, o.body::text, o.accepted_at, p.effect, p.due_at, ended.effect
  FROM unnest(%(positions)s::bigint[]) WITH ORDINALITY AS wanted (position, place)
 CROSS JOIN LATERAL (
       SELECT FROM decisions
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND target = wanted.position
          AND effect = 'schedule' LIMIT 1) begun
 CROSS JOIN LATERAL (
       SELECT id, body, accepted_at FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = wanted.position LIMIT 1) o
  LEFT JOIN LATERAL (
       SELECT effect, due_at FROM pending_operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND target = wanted.position LIMIT 1) p ON true
  LEFT JOIN LATERAL (
       SELECT effect FROM decisions
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND target = wanted.position
          AND terminal LIMIT 1) ended ON true
 ORDER BY wanted.place
"""

OCCURRENCES = """
SELECT wanted.target, o.position, o.id::text, o.body::text, o.accepted_at, d.effect,
       r.code, r.detail::text
  FROM unnest(%(targets)s::bigint[], %(froms)s::text[], %(befores)s::text[])
       WITH ORDINALITY AS wanted (target, "from", before, place)
 CROSS JOIN LATERAL (
       SELECT position, id, body, accepted_at, idempotency_key FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND kind = 'occur'
          AND idempotency_key COLLATE "C" >= wanted.from
          AND idempotency_key COLLATE "C" < wanted.before
        ORDER BY idempotency_key COLLATE "C" DESC LIMIT %(many)s) o
  LEFT JOIN LATERAL (
       SELECT effect FROM decisions
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = o.position
          AND target = wanted.target ORDER BY number LIMIT 1) d ON true
  LEFT JOIN LATERAL (
       SELECT code, detail FROM rejections
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = o.position LIMIT 1) r ON true
 ORDER BY wanted.place, o.idempotency_key COLLATE "C" DESC
"""


class Occurrence(NamedTuple):
    """One time of a schedule that has come. `outcome` is one of OUTCOMES."""

    number: int
    position: int
    id: UUID
    due: str
    accepted_at: dt.datetime
    outcome: str
    code: str | None
    detail: Any


class Schedule(NamedTuple):
    """A schedule as it is now. `state` is one of STATES."""

    position: int
    id: UUID
    body: dict[str, Any]
    accepted_at: dt.datetime
    state: str
    next_at: dt.datetime | None
    last: Occurrence | None


def page(connection: Connection, ledger: LedgerRef, before: int, many: int) -> list[Schedule]:
    """The ledger's schedules before this position, newest first."""
    wanted = {**_scope(ledger), "before": before, "many": many}
    positions = connection.exec_driver_sql(PAGE, wanted).scalars().all()
    return schedules(connection, ledger, positions)


def schedules(
    connection: Connection, ledger: LedgerRef, positions: Iterable[int]
) -> list[Schedule]:
    """Those that were accepted at these positions and posted."""
    wanted = {**_scope(ledger), "positions": arrays.integers(positions)}
    rows = connection.exec_driver_sql(SCHEDULES, wanted).all()
    ids = {row[0]: UUID(row[1]) for row in rows}
    last = _occurrences(connection, ledger, ids, NUMBER_MAX, 1)
    return [
        Schedule(
            position,
            ids[position],
            orjson.loads(body),
            accepted_at,
            _state(effect, ended),
            due_at if effect == "schedule" else None,
            next(iter(last.get(position, ())), None),
        )
        for position, _, body, accepted_at, effect, due_at, ended in rows
    ]


def occurrences(
    connection: Connection, ledger: LedgerRef, schedule: Schedule, before: int, many: int
) -> list[Occurrence]:
    """The schedule's occurrences before this number, newest first."""
    ids = {schedule.position: schedule.id}
    return _occurrences(connection, ledger, ids, before, many).get(schedule.position, [])


def _occurrences(
    connection: Connection, ledger: LedgerRef, ids: dict[int, UUID], before: int, many: int
) -> dict[int, list[Occurrence]]:
    wanted = {
        **_scope(ledger),
        "many": many,
        "targets": arrays.integers(ids),
        "froms": arrays.texts(DUE.format(show_id(id_), 0) for id_ in ids.values()),
        "befores": arrays.texts(DUE.format(show_id(id_), before) for id_ in ids.values()),
    }
    found: dict[int, list[Occurrence]] = {}
    for target, *row in connection.exec_driver_sql(OCCURRENCES, wanted):
        found.setdefault(target, []).append(_occurrence(*row))
    return found


def _occurrence(
    position: int,
    id_: str,
    body: str,
    accepted_at: dt.datetime,
    effect: str | None,
    code: str | None,
    detail: str | None,
) -> Occurrence:
    members = orjson.loads(body)
    outcome = "rejected" if code else {None: "accepted", "end": "ended"}.get(effect, "posted")
    about = None if detail is None else orjson.loads(detail)
    number, due = members["number"], members["due"]
    return Occurrence(number, position, UUID(id_), due, accepted_at, outcome, code, about)


def _state(effect: str | None, ended: str | None) -> str:
    if effect is not None:
        return "paused" if effect == "pause" else "active"
    return "cancelled" if ended == "cancel" else "ended"


def _scope(ledger: LedgerRef) -> dict[str, Any]:
    return {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
