"""The retention schedule of a tenant: what was kept for long enough is erased, each night.

    personal_days ─ subjects that nothing names or uses any more   erased, each with its event
    people_days ─── people who are disabled, or never came         erased, each with its event
    sessions_days ─ sessions that ended                            deleted
    tickets_days ── invitations and resets, used or too old        deleted
    (mails_days) ── mails that were sent, given up or withdrawn     deleted, in every tenant
    whence_days ─── whence those asked who have no key of their own, by the month: erased

Each function is a part of a transaction of the tenant's, which holds the row of its night: who is
killed leaves whole parts, the next one goes on behind them, and two who come at once take turns.
"""

import datetime as dt
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, text

from models.tenant import tenant_state
from pipeline.came_from import WHENCE
from pipeline.events import Event, Recorded, record
from pipeline.identity.people import MAY_ACT, OWNING
from pipeline.permissions import roles_for
from pipeline.privacy.personal import PREFIX
from pipeline.privacy.subjects import TRIDENT, SubjectErasedError, erase_for_retention, hold

WHENCE_PREFIX = WHENCE.partition("{")[0]
# Subjects that are looked at, and rows that are deleted, in one transaction: 50 ms.
PORTION = 1_000
# Who asks where an invitation went does so within a month; that it was made stays an event.
MAILS_DAYS = 30

BEGIN = text("""
    INSERT INTO retention_runs AS r (tenant_id, night) VALUES (:tenant, :night)
    ON CONFLICT (tenant_id) DO UPDATE
       SET night = :night, after_subject = '', subjects = 0, sessions = 0, tickets = 0,
           mails = 0, months = 0, ended_at = NULL
     WHERE r.night < :night
""")
HOLD = text("""
    SELECT after_subject, subjects, sessions, tickets, mails, months FROM retention_runs
     WHERE tenant_id = :tenant AND night = :night AND ended_at IS NULL FOR UPDATE
""")
GO_ON = text("""
    UPDATE retention_runs SET after_subject = :after WHERE tenant_id = :tenant AND night = :night
""")
COUNT = text("""
    UPDATE retention_runs SET subjects = subjects + :subjects, sessions = sessions + :sessions,
           tickets = tickets + :tickets, mails = mails + :mails, months = months + :months
     WHERE tenant_id = :tenant AND night = :night
""")
END = text("""
    UPDATE retention_runs SET ended_at = clock_timestamp()
     WHERE tenant_id = :tenant AND night = :night
""")

LOOK = text("""
    SELECT subject FROM data_keys
     WHERE tenant_id = :tenant AND subject > :after AND starts_with(subject, :prefix)
     ORDER BY subject LIMIT :many
""")
# A restriction says: keep it, do not use it.
_RESTRICTED = """EXISTS (
           SELECT FROM subjects s WHERE s.tenant_id = :tenant AND s.subject = {subject}
              AND s.restricted_at IS NOT NULL)"""
# Whoever has an account, or something that waits, is named by what goes on there, whether or not an
# operation says so. Closed accounts count from their last posting.
SUBJECTS = text(f"""
    SELECT k.subject FROM data_keys k
     WHERE k.tenant_id = :tenant AND k.subject = ANY(:subjects) AND k.erased_at IS NULL
       AND greatest(k.created_at, (
           SELECT max(m.mentioned_at) FROM subject_mentions m
            WHERE m.tenant_id = :tenant AND m.subject = k.subject))
           < clock_timestamp() - make_interval(days => :days)
       AND NOT {_RESTRICTED.format(subject="k.subject")}
       AND NOT EXISTS (
           SELECT FROM subject_mentions m
            CROSS JOIN LATERAL (
                  SELECT position FROM idempotency_keys i
                   WHERE i.tenant_id = :tenant AND i.ledger_id = m.ledger_id
                     AND i.key_hash = m.key_hash LIMIT 1) i
             LEFT JOIN LATERAL (
                  SELECT number, status FROM accounts a
                   WHERE a.tenant_id = :tenant AND a.ledger_id = m.ledger_id
                     AND a.code = m.account AND m.account <> '' LIMIT 1) a ON true
            WHERE m.tenant_id = :tenant AND m.subject = k.subject
              AND (EXISTS (
                       SELECT FROM pending_operations p
                        WHERE p.tenant_id = :tenant AND p.ledger_id = m.ledger_id
                          AND p.target = i.position)
                   OR NOT EXISTS (
                       SELECT FROM rejections r
                        WHERE r.tenant_id = :tenant AND r.ledger_id = m.ledger_id
                          AND r.position = i.position)
                  AND (a.status <> 'closed' OR (
                       SELECT o.accepted_at FROM postings p
                        CROSS JOIN LATERAL (
                              SELECT accepted_at FROM operations o
                               WHERE o.tenant_id = :tenant AND o.ledger_id = m.ledger_id
                                 AND o.position = p.position LIMIT 1) o
                        WHERE p.tenant_id = :tenant AND p.ledger_id = m.ledger_id
                          AND p.account = a.number AND NOT p.pending
                        ORDER BY p.version DESC LIMIT 1)
                       >= clock_timestamp() - make_interval(days => :days))))
     ORDER BY k.subject
""")  # noqa: S608 - ours
# A tenant that has no active owner keeps those who may become one.
PEOPLE = text(f"""
    SELECT 'person:' || p.person_id FROM people p
     WHERE p.tenant_id = :tenant AND p.status IN ('disabled', 'invited')
       AND ('person:' || p.person_id = :one OR :one IS NULL)
       AND greatest(p.status_since, CASE WHEN p.status = 'invited' THEN (
           SELECT max(t.expires_at) FROM tickets t
            WHERE t.tenant_id = :tenant AND t.person_id = p.person_id) END)
           < clock_timestamp() - make_interval(days => :days)
       AND NOT {_RESTRICTED.format(subject="'person:' || p.person_id")}
       AND (NOT p.roles && CAST(:owning AS text[]) OR EXISTS (
           SELECT FROM people o WHERE o.tenant_id = :tenant AND {MAY_ACT.format(people="o")}
              AND o.roles && CAST(:owning AS text[])))
     ORDER BY p.person_id LIMIT :many
""")  # noqa: S608 - ours
_OF_RESTRICTED = _RESTRICTED.format(subject="'person:' || e.person_id")
SESSIONS = text(f"""
    DELETE FROM sessions d USING (
           SELECT session_id FROM sessions e
            WHERE e.tenant_id = :tenant AND NOT {_OF_RESTRICTED}
              AND least(e.revoked_at, e.expires_at)
                  < clock_timestamp() - make_interval(days => :days)
            ORDER BY session_id LIMIT :many) old
     WHERE d.tenant_id = :tenant AND d.session_id = old.session_id
""")  # noqa: S608 - ours
TICKETS = text(f"""
    DELETE FROM tickets d USING (
           SELECT token_hash FROM tickets e
            WHERE e.tenant_id = :tenant AND NOT {_OF_RESTRICTED}
              AND least(e.used_at, e.expires_at)
                  < clock_timestamp() - make_interval(days => :days)
            ORDER BY token_hash LIMIT :many) old
     WHERE d.tenant_id = :tenant AND d.token_hash = old.token_hash
""")  # noqa: S608 - ours
MAILS = text(f"""
    DELETE FROM mails d USING (
           SELECT mail_id FROM mails e
            WHERE e.tenant_id = :tenant AND NOT {_OF_RESTRICTED}
              AND e.ended_at < clock_timestamp() - make_interval(days => :days)
            ORDER BY mail_id LIMIT :many) old
     WHERE d.tenant_id = :tenant AND d.mail_id = old.mail_id
""")  # noqa: S608 - ours
# The key of a month (pipeline/events.py), once the whole of it is so long ago.
MONTHS = text("""
    UPDATE data_keys SET wrapped = NULL, kek = NULL, erased_at = clock_timestamp()
     WHERE tenant_id = :tenant AND erased_at IS NULL AND starts_with(subject, :whence)
       AND (to_date(right(subject, 7), 'YYYY-MM') + interval '1 month') AT TIME ZONE 'UTC'
           < clock_timestamp() - make_interval(days => :days)
""")
# By the setting: what is deleted, and the column that counts it.
DELETED: dict[str, tuple[TextClause, str]] = {
    "sessions_days": (SESSIONS, "sessions"),
    "tickets_days": (TICKETS, "tickets"),
    "mails_days": (MAILS, "mails"),
    "whence_days": (MONTHS, "months"),
}
NOTHING = {"subjects": 0, "sessions": 0, "tickets": 0, "mails": 0, "months": 0}


class Night(NamedTuple):
    """Whose, and which: the day on which it began."""

    tenant_id: int
    date: dt.date

    def scope(self) -> dict[str, object]:
        """The parameters of a statement about it."""
        return {"tenant": self.tenant_id, "night": self.date}


class Run(NamedTuple):
    """How far a night has come, and by the schedule after how many days what goes."""

    after: str
    counted: dict[str, int]
    days: dict[str, int]


class Portion(NamedTuple):
    """Of the subjects that were looked at, those that are to be erased, and the last of all."""

    old: list[str]
    last: str


def begin(connection: Connection, night: Night) -> Run | None:
    """Go on with the night, or begin it; None once it is over."""
    connection.execute(BEGIN, night.scope())
    row = connection.execute(HOLD, night.scope()).one_or_none()
    tenant = tenant_state(connection, night.tenant_id)
    if row is None or tenant is None:
        return None
    least = tenant.settings.retention_days or 0
    days = {"mails_days": MAILS_DAYS, **tenant.settings.retention}
    for name in days.keys() & {"personal_days", "people_days"}:
        days[name] = max(days[name], least)
    return Run(row.after_subject, {name: getattr(row, name) for name in NOTHING}, days)


def look(connection: Connection, night: Night, run: Run) -> Portion | None:
    """The next subjects; None if none is left to look at."""
    days = run.days.get("personal_days")
    asked = {"tenant": night.tenant_id, "after": run.after, "prefix": PREFIX, "many": PORTION}
    looked = [] if days is None else connection.execute(LOOK, asked).scalars().all()
    if not looked:
        return None
    old = {"tenant": night.tenant_id, "subjects": list(looked), "days": days}
    return Portion(list(connection.execute(SUBJECTS, old).scalars()), looked[-1])


def go_on(connection: Connection, night: Night, run: Run, last: str) -> None:
    """All up to the last one that was looked at are done."""
    held = begin(connection, night)
    if held is not None and held.after == run.after:
        connection.execute(GO_ON, {**night.scope(), "after": last})


def old_people(connection: Connection, night: Night, run: Run) -> list[str]:
    """The next ones that are to be erased."""
    days = run.days.get("people_days")
    return [] if days is None else _old_people(connection, night, days, None)


def erase(connection: Connection, night: Night, subject: str) -> Recorded | None:
    """Erase a subject or a person, if that is still to be done, and count it."""
    run = begin(connection, night)
    try:
        hold(connection, night.tenant_id, subject)
    except SubjectErasedError:
        return None
    if run is None or not _is_old(connection, night, run, subject):
        return None
    recorded = erase_for_retention(connection, night.tenant_id, subject)
    connection.execute(COUNT, {**night.scope(), **NOTHING, "subjects": 1})
    return recorded


def delete(connection: Connection, night: Night) -> bool:
    """Delete a portion of sessions, tickets and mails that ended, and erase months; whether there
    may be more."""
    run = begin(connection, night)
    if run is None:
        return False
    counted = dict(NOTHING)
    for setting, (statement, column) in DELETED.items():
        if setting in run.days:
            asked = {"days": run.days[setting], "whence": WHENCE_PREFIX, "many": PORTION}
            counted[column] = connection.execute(statement, {**night.scope(), **asked}).rowcount
    if any(counted.values()):
        connection.execute(COUNT, {**night.scope(), **counted})
    return PORTION in counted.values()


def end(connection: Connection, night: Night) -> Recorded | None:
    """The night is over; the event that says what was done, if anything was."""
    run = begin(connection, night)
    if run is None:
        return None
    connection.execute(END, night.scope())
    if not any(run.counted.values()):
        return None
    detail = {"night": night.date.isoformat(), **run.counted}
    event = Event("retention.carried_out", TRIDENT, detail=detail)
    return record(connection, night.tenant_id, event)


def _old_people(connection: Connection, night: Night, days: int, one: str | None) -> list[str]:
    owning = sorted(roles_for(OWNING))
    asked = {"tenant": night.tenant_id, "days": days, "one": one, "owning": owning}
    return list(connection.execute(PEOPLE, {**asked, "many": PORTION}).scalars())


def _is_old(connection: Connection, night: Night, run: Run, subject: str) -> bool:
    """As it was when it was looked for: nobody names it any more while it is held."""
    if subject.startswith(PREFIX):
        days = run.days.get("personal_days")
        asked = {"tenant": night.tenant_id, "subjects": [subject], "days": days}
        return days is not None and bool(connection.execute(SUBJECTS, asked).all())
    days = run.days.get("people_days")
    return days is not None and bool(_old_people(connection, night, days, subject))
