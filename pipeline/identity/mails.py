"""The outbox: tickets on their way, by mail, to whom they are for.

A mail is written with its ticket, in one transaction, and sent after it (tasks/mail.py). Until then
the ticket is kept sealed under its person's key; whatever ends the mail destroys it.

waiting ┬── sent
        ├── given_up:  refused, or its time is up; an event says so
        └── withdrawn: its ticket does not count any more
"""

import datetime as dt
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, text

from models.key_ring import KeyRing
from pipeline.events import Event, Recorded, record
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import NOBODY, Person, new_id, seal, subject_of, unseal
from pipeline.privacy.data_keys import key_of

# Servers that list greylisted senders, or restart, are back within hours; after a day somebody
# should look, and whoever waits has asked anew.
LONGEST = dt.timedelta(days=1)
# Nobody else takes a mail before that: longer than a bell's time limit of 30 s, within which it is
# sent or its process is killed. Greylisting usually asks for a minute or more.
FIRST_DELAY_S = 60
# A reset counts for an hour: the delays before are 1, 3, 7, 15 and 31 minutes after the first try.
LONGEST_DELAY_S = 3_600
PLACE = "mails.ticket"

log = structlog.get_logger("trident.mail")

PUT = text("""
    INSERT INTO mails (tenant_id, mail_id, person_id, purpose, made_by, ticket, until_at)
    VALUES (:tenant, :mail, :person, :purpose, :actor, :ticket, clock_timestamp() + :lives)
""")
CLAIM = text("""
    UPDATE mails SET attempts = attempts + 1,
           next_at = clock_timestamp()
                   + interval '1 second' * least(:longest, :first * 2 ^ least(attempts, 20))
     WHERE tenant_id = :tenant AND mail_id = (
           SELECT mail_id FROM mails
            WHERE tenant_id = :tenant AND next_at <= clock_timestamp()
            ORDER BY next_at, mail_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING mail_id, person_id, purpose, ticket, made_at, attempts,
              until_at <= clock_timestamp() AS late
""")
END = text("""
    UPDATE mails SET ticket = NULL, next_at = NULL, outcome = :outcome,
           ended_at = clock_timestamp()
     WHERE tenant_id = :tenant AND mail_id = :mail AND ended_at IS NULL
""")
# What somebody without a token had sent is bounded by person (forgotten.py), and takes nothing away
# from the admins.
OF_THE_DAY = text("""
    SELECT count(*) AS many,
           ceil(extract(epoch FROM min(made_at) + interval '1 day' - clock_timestamp()))::int
           AS frees_in_s
      FROM mails
     WHERE tenant_id = :tenant AND made_at > clock_timestamp() - interval '1 day'
       AND made_by IS DISTINCT FROM :nobody
""")
# In one order, so that two who withdraw the same ones do not wait in a circle.
WITHDRAW = text("""
    UPDATE mails m SET ticket = NULL, next_at = NULL, outcome = 'withdrawn',
           ended_at = clock_timestamp()
      FROM (SELECT mail_id FROM mails
             WHERE tenant_id = :tenant AND ended_at IS NULL
               AND (person_id = :person OR cast(:person AS text) IS NULL)
               AND (made_by IS DISTINCT FROM :but_of OR cast(:but_of AS text) IS NULL)
             ORDER BY mail_id FOR UPDATE) waiting
     WHERE m.tenant_id = :tenant AND m.mail_id = waiting.mail_id AND m.ended_at IS NULL
""")


class Mail(NamedTuple):
    """One that was claimed. `late`: its time is up, and it is not to be sent any more."""

    tenant_id: int
    mail_id: str
    person_id: str
    purpose: str
    ticket: bytes  # sealed
    made_at: dt.datetime
    attempts: int
    late: bool


def put(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    person: Person,
    purpose: str,
    made_by: str,
    ticket: str,
    lives: dt.timedelta,
) -> None:
    """Let the ticket, which counts for so long, go to the person."""
    mail_id = new_id("ma")
    key = key_of(connection, ring, tenant_id, person.subject)
    row: dict[str, Any] = {
        "tenant": tenant_id,
        "mail": mail_id,
        "person": person.person_id,
        "purpose": purpose,
        "actor": made_by,
        "ticket": seal(key, tenant_id, PLACE, mail_id, ticket),
        "lives": min(lives, LONGEST),
    }
    connection.execute(PUT, row)


def claim(connection: Connection, tenant_id: int) -> Mail | None:
    """The tenant's next mail whose time has come; for a while nobody else gets it."""
    delays = {"first": FIRST_DELAY_S, "longest": LONGEST_DELAY_S}
    row = connection.execute(CLAIM, {"tenant": tenant_id, **delays}).one_or_none()
    if row is None:
        return None
    return Mail(tenant_id, **{**row._mapping, "ticket": bytes(row.ticket)})


def ticket_of(connection: Connection, ring: KeyRing, mail: Mail) -> str:
    """What it brings; raises ErasedError, TamperedError."""
    key = key_of(connection, ring, mail.tenant_id, subject_of(mail.person_id))
    return unseal(key, mail.tenant_id, PLACE, mail.mail_id, mail.ticket).decode()


def sent(connection: Connection, mail: Mail) -> None:
    """It is on its way."""
    _end(connection, mail, "sent")


def give_up(connection: Connection, mail: Mail, **why: str | int) -> Recorded | None:
    """It is not tried again, and an event says so; None if it had ended meanwhile."""
    if not _end(connection, mail, "given_up"):
        return None
    detail = {"mail": mail.mail_id, "purpose": mail.purpose, "attempts": mail.attempts, **why}
    event = Event("mail.given_up", NOBODY, target=subject_of(mail.person_id), detail=detail)
    return record(connection, mail.tenant_id, event)


def withdraw(
    connection: Connection, tenant_id: int, person_id: str | None, but_of: str | None = None
) -> int:
    """Send none of those that wait for this person, or for anybody, except perhaps what one maker
    has made; how many there were."""
    named = {"tenant": tenant_id, "person": person_id, "but_of": but_of}
    return connection.execute(WITHDRAW, named).rowcount


def withdraw_one(connection: Connection, mail: Mail) -> None:
    """Its ticket does not count any more."""
    _end(connection, mail, "withdrawn")


def keep_to_bound(connection: Connection, tenant_id: int, most: int) -> None:
    """Refuse what makes the tenant's mails of a day more than these; raises IdentityError.

    To be called once the event of the newest is recorded: from then on nobody else of the tenant
    records one, so of those who come at once each counts all before it.
    """
    asked = {"tenant": tenant_id, "nobody": NOBODY}
    row = connection.execute(OF_THE_DAY, asked).one()
    if row.many <= most:
        return
    log.warning("mails_spent", tenant=tenant_id, most=most)
    raise IdentityError(
        "mails_spent",
        f"A tenant has {most} invitations and resets sent in 24 hours. Try again later, or ask"
        " whoever runs this installation for more.",
        retry_after_s=row.frees_in_s,
    )


def _end(connection: Connection, mail: Mail, outcome: str) -> bool:
    named = {"tenant": mail.tenant_id, "mail": mail.mail_id, "outcome": outcome}
    return bool(connection.execute(END, named).rowcount)
