"""API keys: made, changed, rotated and revoked, each act with its event.

A key never gets more than who makes it, changes it or sees its new secret may do: neither an action
nor a ledger nor an amount. Nor does it keep more than its holder may do now: that is who was shown
its present secret. Another one takes it over by rotating it.
"""

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from models.api_key import SUBJECT, hash_of, new_id, new_key, parse_id, show_id
from pipeline.events import Event, Recorded, record
from pipeline.identity.key_powers import Powers, check_end
from pipeline.strict_json import canonical

# For how long the secret before counts after a rotation, unless it is said: time for a deployment.
GRACE_S = 24 * 3600
GRACE_MAX_S = 30 * 24 * 3600

COLUMNS = (
    "key_id, name, roles, scopes, ledgers, limits::text AS limits, expires_at, created_by,"
    " known_to, created_at, last_used_at, revoked_at, previous_until"
)
INSERT = text(
    "INSERT INTO api_keys (tenant_id, key_id, name, hash, roles, scopes, ledgers, limits,"
    " expires_at, created_by, known_to) VALUES (:tenant, :key, :name, :hash, :roles, :scopes,"
    " :ledgers, :limits, :expires_at, :actor, :known_to)"
)
CHANGE = text(
    "UPDATE api_keys SET name = :name, roles = :roles, scopes = :scopes, ledgers = :ledgers,"
    " limits = :limits, expires_at = :expires_at WHERE tenant_id = :tenant AND key_id = :key"
)
# Without grace nothing is left of the secret before: a clock set back would let it in again.
ROTATE = text("""
    UPDATE api_keys SET hash = :hash, known_to = :known_to,
           previous_hash = CASE WHEN :grace_s > 0 THEN hash END,
           previous_until = CASE WHEN :grace_s > 0
                                 THEN clock_timestamp() + make_interval(secs => :grace_s) END
     WHERE tenant_id = :tenant AND key_id = :key
""")
REVOKE = text(
    "UPDATE api_keys SET revoked_at = clock_timestamp()"
    " WHERE tenant_id = :tenant AND key_id = :key AND revoked_at IS NULL"
)
ONE = f"SELECT {COLUMNS} FROM api_keys WHERE tenant_id = :tenant AND key_id = :key"  # noqa: S608 - ours
PAGE = text(
    f"SELECT {COLUMNS} FROM api_keys WHERE tenant_id = :tenant AND key_id > :after"  # noqa: S608 - ours
    " ORDER BY key_id LIMIT :many"
)
# Who was shown the present secret of a key `k`: of those who know one the last that is no key.
HOLDER = f"""(
    SELECT who FROM unnest(k.known_to) WITH ORDINALITY AS known (who, place)
     WHERE who NOT LIKE '{SUBJECT}%' ORDER BY place DESC LIMIT 1
)"""  # noqa: S608 - ours
HELD = text(f"""
    SELECT k.key_id FROM api_keys k
     WHERE k.tenant_id = :tenant AND k.revoked_at IS NULL AND :subject = ANY(k.known_to)
       AND ({HOLDER} = :subject OR k.previous_until > clock_timestamp())
     ORDER BY k.created_at, k.key_id
""")  # noqa: S608 - ours


BEHIND = text(f"""
    SELECT {HOLDER} FROM api_keys k
     WHERE k.tenant_id = :tenant AND k.key_id = :key AND k.revoked_at IS NULL
       AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
""")  # noqa: S608 - ours


class ApiKey(NamedTuple):
    """A key, without its secret, which nobody has kept."""

    key_id: int
    name: str
    powers: Powers
    expires_at: dt.datetime | None
    created_by: str
    known_to: tuple[str, ...]
    created_at: dt.datetime
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None
    previous_until: dt.datetime | None


class RevokedError(Exception):
    """It is revoked, and stays so."""


def make(
    connection: Connection,
    tenant_id: int,
    name: str,
    powers: Powers,
    expires_at: dt.datetime | None,
    actor: str,
) -> tuple[ApiKey, str, Recorded]:
    """A new key and its secret, which is never seen again; raises BeyondError."""
    asking = _asking(connection, tenant_id, actor)
    check_end(expires_at, asking.expires_at if asking else None)
    key_id = new_id()
    secret = new_key(tenant_id, key_id)
    connection.execute(
        INSERT,
        {
            **_row(tenant_id, key_id, name, powers, expires_at),
            "hash": hash_of(secret),
            "actor": actor,
            "known_to": _knowing((), asking, actor),
        },
    )
    made = _there(connection, tenant_id, key_id)
    detail = {"roles": list(powers.roles)}
    return made, secret, _tell(connection, tenant_id, "api_key.created", key_id, actor, detail)


def change(
    connection: Connection,
    tenant_id: int,
    key: ApiKey,
    name: str,
    powers: Powers,
    expires_at: dt.datetime | None,
    actor: str,
) -> tuple[ApiKey, Recorded | None]:
    """The key with another name, powers or end; no event if it was so already.

    `key` was found with `lock`. Raises RevokedError, BeyondError.
    """
    _refuse_revoked(key)
    if (name, powers, expires_at) == (key.name, key.powers, key.expires_at):
        return key, None
    asking = _asking(connection, tenant_id, actor)
    check_end(expires_at, asking.expires_at if asking else None)
    connection.execute(CHANGE, _row(tenant_id, key.key_id, name, powers, expires_at))
    before, after = _told(key.powers, key.expires_at), _told(powers, expires_at)
    detail = {"before": before, "after": after}
    recorded = _tell(connection, tenant_id, "api_key.changed", key.key_id, actor, detail)
    return _there(connection, tenant_id, key.key_id), recorded


def rotate(
    connection: Connection, tenant_id: int, key: ApiKey, grace_s: int, actor: str
) -> tuple[ApiKey, str, Recorded]:
    """A new secret for the key; the one before counts `grace_s` longer.

    `key` was found with `lock`. A secret that was rotated out before does not count any more.
    Raises RevokedError, BeyondError.
    """
    _refuse_revoked(key)
    secret = new_key(tenant_id, key.key_id)
    scope = {"tenant": tenant_id, "key": key.key_id}
    asking = _asking(connection, tenant_id, actor)
    check_end(key.expires_at, asking.expires_at if asking else None)
    known_to = _knowing(key.known_to, asking, actor)
    changed = {"hash": hash_of(secret), "grace_s": grace_s, "known_to": known_to}
    connection.execute(ROTATE, {**scope, **changed})
    rotated = _there(connection, tenant_id, key.key_id)
    detail = {"grace_s": grace_s}
    told = _tell(connection, tenant_id, "api_key.rotated", key.key_id, actor, detail)
    return rotated, secret, told


def revoke(
    connection: Connection, tenant_id: int, key: ApiKey, actor: str
) -> tuple[ApiKey, Recorded | None]:
    """Nobody asks with it from now on, for good; no event if it was so already."""
    done = connection.execute(REVOKE, {"tenant": tenant_id, "key": key.key_id})
    if done.rowcount == 0:
        return key, None
    recorded = _tell(connection, tenant_id, "api_key.revoked", key.key_id, actor, None)
    return _there(connection, tenant_id, key.key_id), recorded


def find(
    connection: Connection, tenant_id: int, key_id: int, *, lock: bool = False
) -> ApiKey | None:
    """The key, or None; `lock`: nobody changes it until the transaction ends."""
    statement = text(f"{ONE} FOR UPDATE" if lock else ONE)
    row = connection.execute(statement, {"tenant": tenant_id, "key": key_id}).one_or_none()
    return None if row is None else _read(row)


def held_by(connection: Connection, tenant_id: int, subject: str) -> list[str]:
    """The ids of the keys of which somebody has seen a secret that may still count."""
    found = connection.execute(HELD, {"tenant": tenant_id, "subject": subject})
    return [show_id(key_id) for key_id in found.scalars()]


def holder(connection: Connection, tenant_id: int, subject: str) -> str | None:
    """Who is behind the subject: itself, or of a key its holder; None if that does not count."""
    if not subject.startswith(SUBJECT):
        return subject
    named = {"tenant": tenant_id, "key": parse_id(subject.removeprefix(SUBJECT))}
    found: str | None = connection.execute(BEHIND, named).scalar()
    return found


def page(connection: Connection, tenant_id: int, after: int, many: int) -> list[ApiKey]:
    """Keys, revoked ones too, behind a number, in the order of their numbers."""
    rows = connection.execute(PAGE, {"tenant": tenant_id, "after": after, "many": many})
    return [_read(row) for row in rows]


def _there(connection: Connection, tenant_id: int, key_id: int) -> ApiKey:
    found = find(connection, tenant_id, key_id)
    assert found is not None, "keys are never deleted"
    return found


def _asking(connection: Connection, tenant_id: int, actor: str) -> ApiKey | None:
    """The key that asks, if it is one."""
    number = parse_id(actor.removeprefix(SUBJECT)) if actor.startswith(SUBJECT) else None
    return None if number is None else find(connection, tenant_id, number)


def _knowing(before: Iterable[str], asking: ApiKey | None, actor: str) -> list[str]:
    """Everybody who has seen a secret, whoever sees the new one last.

    What a key sees, those see who know its own secret.
    """
    last = (*(asking.known_to if asking else ()), actor)
    return [*(one for one in before if one not in last), *dict.fromkeys(last)]


def _refuse_revoked(key: ApiKey) -> None:
    if key.revoked_at is not None:
        raise RevokedError(f"{show_id(key.key_id)} is revoked for good; make another key.")


def _tell(
    connection: Connection,
    tenant_id: int,
    action: str,
    key_id: int,
    actor: str,
    detail: dict[str, Any] | None,
) -> Recorded:
    target = f"api_key:{show_id(key_id)}"
    return record(connection, tenant_id, Event(action, actor, target=target, detail=detail))


def _told(powers: Powers, expires_at: dt.datetime | None) -> dict[str, Any]:
    """What an event says of it. The name is a person's own words, so it stays out."""
    said = {
        **powers._asdict(),
        "expires_at": None if expires_at is None else expires_at.isoformat(),
    }
    return {name: value for name, value in said.items() if value is not None}


def _row(
    tenant_id: int, key_id: int, name: str, powers: Powers, expires_at: dt.datetime | None
) -> dict[str, Any]:
    return {
        "tenant": tenant_id,
        "key": key_id,
        "name": name,
        "roles": list(powers.roles),
        "scopes": None if powers.scopes is None else list(powers.scopes),
        "ledgers": None if powers.ledgers is None else list(powers.ledgers),
        "limits": None if powers.limits is None else canonical(dict(powers.limits)).decode(),
        "expires_at": expires_at,
    }


def _read(row: Any) -> ApiKey:
    powers = Powers(
        tuple(row.roles),
        None if row.scopes is None else tuple(row.scopes),
        None if row.ledgers is None else tuple(row.ledgers),
        None if row.limits is None else json.loads(row.limits),
    )
    return ApiKey(
        row.key_id,
        row.name,
        powers,
        row.expires_at,
        row.created_by,
        tuple(row.known_to),
        row.created_at,
        row.last_used_at,
        row.revoked_at,
        row.previous_until,
    )
