"""Operations that are told of by an event as well: they move nothing, and say what may move.

Who changes a limit or a rule, frees or freezes an account, stops a schedule, approves or refuses,
is looked for among what people did: there stands who it was, whence they asked, and which operation
it is. That one says what came of it. Both get into the log in one transaction (accept.py).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import Engine

from models.ledger import LedgerRef
from pipeline.came_from import telling
from pipeline.events import Event, announcements
from pipeline.principal import actor_of
from pipeline.receipt import Submission

ANNOUNCED = frozenset(
    {
        "set_limit",
        "remove_limit",
        "set_approval",
        "remove_approval",
        "allow_accounts",
        "disallow_accounts",
        "freeze_account",
        "unfreeze_account",
        "close_account",
        "reopen_account",
        "pause_schedule",
        "resume_schedule",
        "cancel_schedule",
        "approve",
        "refuse",
    }
)


def with_events(
    engine: Engine, ledger: LedgerRef, submissions: Sequence[Submission]
) -> list[Submission]:
    """The submissions of one principal, each with its event if it is to have one.

    Those without pay no statement. What is never accepted is never told of.
    """
    told = [one for one in submissions if one.kind in ANNOUNCED]
    if not told:
        return list(submissions)
    actor = actor_of(told[0].principal.decode())
    made = [_event(actor, ledger, one) for one in told]
    with telling(ledger.tenant_id, actor, engine) as connection:
        events = iter(announcements(connection, ledger.tenant_id, actor, made))
    return [
        replace(one, event=next(events)) if one.kind in ANNOUNCED else one for one in submissions
    ]


def _event(actor: str, ledger: LedgerRef, submission: Submission) -> Event:
    detail: dict[str, Any] = {"ledger": ledger.name, "kind": submission.kind}
    target = orjson.loads(submission.body).get("target")
    if target is not None:
        detail["target"] = target
    return Event("operation.asked", actor, detail=detail)
