"""Subjects: restricted, and erased when retention lets them go; each act with its event.

    open ──restrict──▶ restricted ──unrestrict──▶ open
      └──────erase──────────┤
                            ├── retention has ended: the key is destroyed, for good
                            └── not yet: restricted until the day, then erased (tasks/erase.py)

Who changes a subject holds the row of its key first, as who seals for it does (sealing.py): what is
sealed is committed before an erasure counts when the subject was named last, or refused behind it.
"""

import datetime as dt
from typing import NamedTuple

from sqlalchemy import Connection, text

from models.tenant import tenant_state
from pipeline.events import Event, Recorded, record
from pipeline.identity import erasure as people
from pipeline.kinds.personals import SUBJECT_PATTERN, SUBJECT_RESERVED
from pipeline.privacy.data_keys import UnknownSubjectError, destroy
from pipeline.privacy.personal import PREFIX

HOLD = text("""
    SELECT FROM data_keys WHERE tenant_id = :tenant AND subject = :subject FOR UPDATE
""")
STATE = text("""
    SELECT k.created_at, k.erased_at, s.restricted_at, s.erase_due_at, s.erase_asked_by,
           s.erased_by, s.erased_position, clock_timestamp() AS now,
           m.named_at, m.mentions
      FROM data_keys k LEFT JOIN subjects s USING (tenant_id, subject)
     CROSS JOIN LATERAL (
           SELECT max(g.named_at) AS named_at, count(*) AS mentions FROM (
                  SELECT max(mentioned_at) AS named_at FROM subject_mentions m
                   WHERE m.tenant_id = :tenant AND m.subject = :subject
                   GROUP BY ledger_id, key_hash) g) m
     WHERE k.tenant_id = :tenant AND k.subject = :subject
""")
ENTER = text("""
    INSERT INTO subjects (tenant_id, subject) VALUES (:tenant, :subject) ON CONFLICT DO NOTHING
""")
RESTRICT = text("""
    UPDATE subjects SET restricted_at = clock_timestamp()
     WHERE tenant_id = :tenant AND subject = :subject AND restricted_at IS NULL
""")
UNRESTRICT = text("""
    UPDATE subjects SET restricted_at = NULL, erase_due_at = NULL, erase_asked_by = NULL
     WHERE tenant_id = :tenant AND subject = :subject
""")
PLAN = text("""
    UPDATE subjects SET erase_due_at = :due, erase_asked_by = :by,
           restricted_at = coalesce(restricted_at, :now)
     WHERE tenant_id = :tenant AND subject = :subject
""")
ERASED = text("""
    UPDATE subjects SET erased_position = :position, erased_by = :by,
           erase_due_at = NULL, erase_asked_by = NULL
     WHERE tenant_id = :tenant AND subject = :subject
""")
# Those of one tenant, as its own role sees them.
DUE = text("""
    SELECT subject, erase_due_at, erase_asked_by FROM subjects
     WHERE tenant_id = :tenant AND erase_due_at IS NOT NULL ORDER BY erase_due_at, subject
""")
# An erasure that cannot be yet is tried again after a day: until then somebody was told of it.
POSTPONE = text("""
    UPDATE subjects SET erase_due_at = clock_timestamp() + interval '1 day'
     WHERE tenant_id = :tenant AND subject = :subject AND erase_due_at IS NOT NULL
""")
TRIDENT = "trident"
# Who asks for what the schedule erases (retention.py).
RETENTION = "retention"
STATUSES = ("open", "restricted", "erasure_due", "erased")


class SubjectState(NamedTuple):
    """What is known of a subject, as of `now`. `named_at`: when an operation named it last."""

    subject: str
    created_at: dt.datetime
    erased_at: dt.datetime | None
    restricted_at: dt.datetime | None
    erase_due_at: dt.datetime | None
    erase_asked_by: str | None
    erased_by: str | None
    erased_position: int | None
    now: dt.datetime
    named_at: dt.datetime | None
    mentions: int

    @property
    def status(self) -> str:
        """In one word."""
        if self.erased_at is not None:
            return "erased"
        if self.erase_due_at is not None:
            return "erasure_due"
        return "open" if self.restricted_at is None else "restricted"


class SubjectErasedError(Exception):
    """The subject is erased: nothing can be done with it any more."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"The subject {shown(subject)} is erased: nothing of it is left to use.")


class Due(NamedTuple):
    """An erasure that waits for the end of retention."""

    subject: str
    due_at: dt.datetime
    asked_by: str


def named(ref: str) -> str:
    """The subject as the tables call it: a user of Trident by its id, or the tenant's own name."""
    return ref if ref.startswith(SUBJECT_RESERVED) else PREFIX + ref


def shown(subject: str) -> str:
    """The subject as clients call it."""
    return subject.removeprefix(PREFIX)


def state_of(connection: Connection, tenant_id: int, subject: str) -> SubjectState:
    """The subject as it is; raises UnknownSubjectError."""
    _refuse_no_name(subject)
    row = connection.execute(STATE, _key(tenant_id, subject)).one_or_none()
    if row is None:
        raise UnknownSubjectError(f"Nothing is known of the subject {shown(subject)}.")
    return SubjectState(
        subject,
        row.created_at,
        row.erased_at,
        row.restricted_at,
        row.erase_due_at,
        row.erase_asked_by,
        row.erased_by,
        row.erased_position,
        row.now,
        row.named_at,
        row.mentions,
    )


def restrict(connection: Connection, tenant_id: int, subject: str, actor: str) -> Recorded | None:
    """Let no operation name it, and no such person sign in; None if that is so already.

    Raises as `hold` does, and IdentityError about the last owner.
    """
    if hold(connection, tenant_id, subject).restricted_at is not None:
        return None
    people.restrict(connection, tenant_id, subject)
    connection.execute(RESTRICT, _key(tenant_id, subject))
    return _told(connection, tenant_id, "subject.restricted", actor, subject)


def unrestrict(connection: Connection, tenant_id: int, subject: str, actor: str) -> Recorded | None:
    """Take that back, and an erasure that is not due yet with it. Raises as `hold` does."""
    if hold(connection, tenant_id, subject).restricted_at is None:
        return None
    people.lift(connection, tenant_id, subject)
    connection.execute(UNRESTRICT, _key(tenant_id, subject))
    return _told(connection, tenant_id, "subject.unrestricted", actor, subject)


def erase(connection: Connection, tenant_id: int, subject: str, actor: str) -> Recorded | None:
    """Destroy its key if retention has ended; else restrict it, and erase it when it has.

    None: an erasure was planned for the same day already. Raises as `hold` does, and IdentityError
    about the last owner.
    """
    before = hold(connection, tenant_id, subject)
    due = _due(connection, tenant_id, before)
    if due is None:
        return _destroy(connection, tenant_id, subject, actor, asked_by=actor)
    if before.erase_due_at == due:
        return None
    people.restrict(connection, tenant_id, subject)
    planned = {**_key(tenant_id, subject), "due": due, "by": actor, "now": before.now}
    connection.execute(PLAN, planned)
    detail = {"due_at": due.isoformat()}
    return _told(connection, tenant_id, "subject.erasure_planned", actor, subject, detail)


def erase_if_due(connection: Connection, tenant_id: int, subject: str) -> Recorded | None:
    """Erase what was asked for if its day has come; None if not. Doing it twice does it once.

    Raises IdentityError about the last owner.
    """
    try:
        before = hold(connection, tenant_id, subject)
    except SubjectErasedError:
        return None
    if before.erase_due_at is None or before.erase_asked_by is None:
        return None
    due = _due(connection, tenant_id, before)
    if due is None:
        return _destroy(connection, tenant_id, subject, TRIDENT, asked_by=before.erase_asked_by)
    if due != before.erase_due_at:  # retention was changed since
        planned = {**_key(tenant_id, subject), "due": due, "by": before.erase_asked_by}
        connection.execute(PLAN, {**planned, "now": before.now})
    return None


def postpone(connection: Connection, tenant_id: int, subject: str) -> None:
    """An erasure that was due is due later."""
    connection.execute(POSTPONE, _key(tenant_id, subject))


def erase_for_retention(connection: Connection, tenant_id: int, subject: str) -> Recorded:
    """Erase it because it was kept for long enough; `hold` was called before."""
    return _destroy(connection, tenant_id, subject, TRIDENT, asked_by=RETENTION)


def read_due(connection: Connection, tenant_id: int) -> list[Due]:
    """The tenant's erasures that wait, by their day."""
    return [Due(*row) for row in connection.execute(DUE, {"tenant": tenant_id})]


def hold(connection: Connection, tenant_id: int, subject: str) -> SubjectState:
    """The subject, which nobody changes or seals for before the transaction ends.

    Raises UnknownSubjectError, SubjectErasedError.
    """
    _refuse_no_name(subject)
    people.hold(connection, tenant_id, subject)
    connection.execute(HOLD, _key(tenant_id, subject))
    state = state_of(connection, tenant_id, subject)
    if state.erased_at is not None:
        raise SubjectErasedError(subject)
    connection.execute(ENTER, _key(tenant_id, subject))
    return state


def _refuse_no_name(subject: str) -> None:
    """What nobody can be called is not looked for: the database takes no text with a NUL in it."""
    if not SUBJECT_PATTERN.fullmatch(shown(subject)):
        raise UnknownSubjectError("Nothing is known of such a subject: it is no reference.")


def _due(connection: Connection, tenant_id: int, state: SubjectState) -> dt.datetime | None:
    """The day on which retention ends, if it is still to come.

    It begins when an operation named the subject last, or when a person could act last: who has
    booked and approved can be named for as long as what they did is to be kept.
    """
    tenant = tenant_state(connection, tenant_id)
    days = None if tenant is None else tenant.settings.retention_days
    if days is None:
        return None
    acted = people.could_act_until(
        connection, tenant_id, state.subject, state.now, state.restricted_at
    )
    begins = state.named_at if acted is None else acted
    if begins is None:
        return None
    due = begins + dt.timedelta(days=days)
    return due if due > state.now else None


def _destroy(
    connection: Connection, tenant_id: int, subject: str, actor: str, *, asked_by: str
) -> Recorded:
    people.erase(connection, tenant_id, subject)
    assert destroy(connection, tenant_id, subject), f"{subject} was held, and had a key"
    detail = None if asked_by == actor else {"asked_by": asked_by}
    recorded = _told(connection, tenant_id, "subject.erased", actor, subject, detail)
    erased = {**_key(tenant_id, subject), "position": recorded.position, "by": asked_by}
    connection.execute(ERASED, erased)
    return recorded


def _told(
    connection: Connection,
    tenant_id: int,
    action: str,
    actor: str,
    subject: str,
    detail: dict[str, str] | None = None,
) -> Recorded:
    return record(connection, tenant_id, Event(action, actor, target=subject, detail=detail))


def _key(tenant_id: int, subject: str) -> dict[str, object]:
    return {"tenant": tenant_id, "subject": subject}
