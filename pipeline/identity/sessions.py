"""Sessions: what signing in gives, kept in the database, ended at any time.

A session is a family of refresh tokens, of which one counts: that of its `generation`. Who brings
one from before either stole it or was stolen from, and nobody can tell which, so that ends it; but
for who brings the very last one again at the moment of its use, as two tabs of a browser do.
"""

import datetime as dt
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, Row, text

from models.key_ring import KeyRing
from pipeline.came_from import at_hand
from pipeline.events import Event, Recorded, record
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import MAY_ACT, is_id, new_id, seal, subject_of, unseal
from pipeline.privacy.data_keys import DataKey, ErasedError, key_of

# A week without a visit ends it, and a month in any case: then the password is asked for again.
IDLE = dt.timedelta(days=7)
LONGEST = dt.timedelta(days=30)
# Tabs, and a client that tries again, bring one token several times at once. They wait for each
# other, for a connection (3 s) and for locks (2 s), so the last may look some seconds after the
# first. A thief who is that fast is told so, and gets nothing.
RACE = dt.timedelta(seconds=10)
# A browser names itself at any length; nobody reads more of it.
AGENT_MAX_LENGTH = 255

INSERT = text("""
    INSERT INTO sessions (tenant_id, session_id, person_id, expires_at, address, agent)
    VALUES (:tenant, :session, :person, clock_timestamp() + :idle, :address, :agent)
    RETURNING expires_at
""")
LOOK = text("""
    SELECT person_id, generation, expires_at > clock_timestamp() AND revoked_at IS NULL
           AND EXISTS (SELECT FROM tenants WHERE tenant_id = :tenant AND deleted_at IS NULL)
           AS lives,
           greatest(used_at - clock_timestamp(), clock_timestamp() - used_at) AS ago
      FROM sessions WHERE tenant_id = :tenant AND session_id = :session
""")
ROTATE = text(f"""
    UPDATE sessions s SET generation = s.generation + 1, used_at = clock_timestamp(),
           expires_at = least(clock_timestamp() + :idle, s.created_at + :longest)
      FROM people p
     WHERE s.tenant_id = :tenant AND s.session_id = :session AND s.generation = :generation
       AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
       AND p.tenant_id = s.tenant_id AND p.person_id = s.person_id
       AND {MAY_ACT.format(people="p")}
    RETURNING s.person_id, s.generation, s.expires_at, p.roles, p.version
""")  # noqa: S608 - ours
REVOKE = text("""
    UPDATE sessions SET revoked_at = clock_timestamp(), why = :why
     WHERE tenant_id = :tenant AND session_id = :session AND revoked_at IS NULL
       AND expires_at > clock_timestamp()
    RETURNING person_id
""")
REVOKE_ALL = text("""
    UPDATE sessions SET revoked_at = clock_timestamp(), why = :why
     WHERE tenant_id = :tenant AND person_id = :person AND revoked_at IS NULL
       AND session_id IS DISTINCT FROM :but
""")
# The newest hundred: who has more sees the others when these are gone.
LIST = text("""
    SELECT session_id, created_at, used_at, expires_at, address, agent FROM sessions
     WHERE tenant_id = :tenant AND person_id = :person AND revoked_at IS NULL
       AND expires_at > clock_timestamp()
     ORDER BY created_at DESC LIMIT 100
""")
COUNTS = text(f"""
    SELECT EXISTS (
        SELECT FROM sessions s JOIN people p USING (tenant_id, person_id)
         WHERE s.tenant_id = :tenant AND s.session_id = :session AND s.revoked_at IS NULL
           AND s.expires_at > clock_timestamp() AND {MAY_ACT.format(people="p")}
           AND p.person_id = :person AND p.version = :version)
""")  # noqa: S608 - ours

alert = structlog.get_logger("trident.alert")


class Granted(NamedTuple):
    """What tokens are made of: whose session, and what may be done in it."""

    tenant_id: int
    session_id: str
    person_id: str
    generation: int
    expires_at: dt.datetime
    roles: tuple[str, ...]
    version: int


class Session(NamedTuple):
    """One that lives. `address` and `agent` are from where and with what it began."""

    session_id: str
    created_at: dt.datetime
    used_at: dt.datetime
    expires_at: dt.datetime
    address: str | None
    agent: str | None


class Reused(NamedTuple):
    """A refresh token that had been used was brought again: the session is ended."""

    person_id: str
    recorded: Recorded | None


def begin(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    person_id: str,
    address: str,
    agent: str,
) -> tuple[str, dt.datetime]:
    """A session of somebody who has proved who they are: its id, and when it ends."""
    session_id = new_id("se")
    key = key_of(connection, ring, tenant_id, subject_of(person_id))
    made = {
        "tenant": tenant_id,
        "session": session_id,
        "person": person_id,
        "idle": IDLE,
        "address": seal(key, tenant_id, "sessions.address", session_id, address),
        "agent": seal(key, tenant_id, "sessions.agent", session_id, agent[:AGENT_MAX_LENGTH]),
    }
    return session_id, connection.execute(INSERT, made).scalar_one()


def refresh(
    connection: Connection, tenant_id: int, session_id: str, generation: int
) -> Granted | Reused:
    """Its next generation, in a transaction of its own; raises IdentityError, after which nothing
    is to be committed.

    Of requests at the same moment (RACE) one wins, and the others raced: those kill nothing, as
    long as nobody has used what the winner was given. Any other that brings a used token does.
    """
    named = {"tenant": tenant_id, "session": session_id}
    seen = connection.execute(LOOK, named).one_or_none()
    if seen is None or not seen.lives or generation > seen.generation:
        raise _ended()
    if generation == seen.generation - 1 and seen.ago <= RACE:
        raise _raced()
    if generation < seen.generation:
        at_hand(connection, tenant_id, subject_of(seen.person_id))
        return Reused(seen.person_id, _kill(connection, tenant_id, session_id))
    asked = {**named, "generation": generation, "idle": IDLE, "longest": LONGEST}
    row = connection.execute(ROTATE, asked).one_or_none()
    if row is not None:
        return Granted(
            tenant_id, session_id, row[0], row.generation, row.expires_at, tuple(row.roles), row[4]
        )
    now = connection.execute(LOOK, named).one()
    if now.lives and now.generation > generation:
        raise _raced()
    raise _ended()


def revoke(
    connection: Connection, tenant_id: int, actor: str, session_id: str, why: str
) -> Recorded | None:
    """End a session, with its event; None if it had ended."""
    named = {"tenant": tenant_id, "session": session_id}
    person_id = connection.execute(REVOKE, {**named, "why": why}).scalar()
    if person_id is None:
        return None
    action = "person.signed_out" if why == "signed_out" else "session.revoked"
    target = f"session:{session_id}"
    detail = {"person": subject_of(person_id)}
    return record(connection, tenant_id, Event(action, actor, target=target, detail=detail))


def revoke_all(
    connection: Connection, tenant_id: int, person_id: str, why: str, but: str | None = None
) -> int:
    """End somebody's sessions, except perhaps one; how many. The event is the caller's."""
    asked = {"tenant": tenant_id, "person": person_id, "why": why, "but": but}
    return connection.execute(REVOKE_ALL, asked).rowcount


def owner_of(connection: Connection, tenant_id: int, session_id: str) -> str | None:
    """Whose session it is, if it lives."""
    if not is_id(session_id):
        return None
    row = connection.execute(LOOK, {"tenant": tenant_id, "session": session_id}).one_or_none()
    return row.person_id if row is not None and row.lives else None


def living(connection: Connection, ring: KeyRing, tenant_id: int, person_id: str) -> list[Session]:
    """Somebody's sessions, newest first."""
    rows = connection.execute(LIST, {"tenant": tenant_id, "person": person_id}).all()
    if not rows:
        return []
    try:
        key = key_of(connection, ring, tenant_id, subject_of(person_id))
    except ErasedError:
        key = None
    return [_session(tenant_id, key, row) for row in rows]


def counts(
    connection: Connection, tenant_id: int, session_id: str, person_id: str, version: int
) -> bool:
    """Whether an access token of it still does: nobody ended it or changed what its person is."""
    asked = {"tenant": tenant_id, "session": session_id, "person": person_id, "version": version}
    return bool(connection.execute(COUNTS, asked).scalar())


def _session(tenant_id: int, key: DataKey | None, row: Row[Any]) -> Session:
    def opened(column: str, value: bytes) -> str | None:
        if key is None:
            return None
        return unseal(key, tenant_id, f"sessions.{column}", row.session_id, value).decode()

    address, agent = opened("address", row.address), opened("agent", row.agent)
    times = row.created_at, row.used_at, row.expires_at
    return Session(row.session_id, *times, address, agent)


def _kill(connection: Connection, tenant_id: int, session_id: str) -> Recorded | None:
    named = {"tenant": tenant_id, "session": session_id, "why": "reused"}
    person_id = connection.execute(REVOKE, named).scalar()
    if person_id is None:
        return None
    alert.error("refresh_token_reused", tenant=tenant_id, session=session_id, person=person_id)
    subject = subject_of(person_id)
    event = Event("session.reused", subject, "refused", target=f"session:{session_id}")
    return record(connection, tenant_id, event)


def _raced() -> IdentityError:
    return IdentityError("refresh_raced", "Go on with the tokens that the other request was given.")


def _ended() -> IdentityError:
    return IdentityError("session_ended", "Sign in again.")
