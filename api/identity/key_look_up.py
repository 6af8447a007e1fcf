"""The rows of API keys: looked up for a request, and told, off its way, that the key was used."""

import hmac
import json
import queue
import threading
import time
from typing import NamedTuple

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from models.api_key import Spelled
from models.db import set_tenant, tenant_writing
from models.settings import SettingsError
from pipeline.identity.api_keys import HOLDER
from pipeline.identity.erasure import PERSON
from pipeline.identity.key_powers import Powers, bounded
from pipeline.identity.people import MAY_ACT

# When a key was last used is written down at most once in this time: for people, who want to know
# which keys nobody needs any more.
USED_EVERY_S = 60.0
# Keys whose use waits to be written. What comes while so many wait is noted the next time.
WAITING_MAX = 1_000
CLOSE_S = 3.0

# A key counts while its holder may act, if that is one of the tenant's people. One that nobody
# holds counts for nobody.
LOOK_UP = text(f"""
    SELECT k.hash, k.previous_hash, k.roles, k.scopes, k.ledgers, k.limits::text AS limits,
           k.known_to, extract(epoch FROM k.expires_at)::float AS expires,
           extract(epoch FROM k.previous_until)::float AS previous_until,
           extract(epoch FROM k.last_used_at)::float AS last_used,
           extract(epoch FROM clock_timestamp())::float AS now,
           CASE WHEN holder.who LIKE '{PERSON}%'
                THEN coalesce({MAY_ACT.format(people="p")}, false)
                ELSE holder.who IS NOT NULL END AS holder_may_act,
           p.roles AS holder_roles
      FROM api_keys k JOIN tenants t USING (tenant_id)
      LEFT JOIN LATERAL (SELECT {HOLDER} AS who) holder ON true
      LEFT JOIN people p ON p.tenant_id = k.tenant_id
       AND holder.who LIKE '{PERSON}%' AND p.person_id = substr(holder.who, {len(PERSON) + 1})
     WHERE k.tenant_id = :tenant AND k.key_id = :key
       AND k.revoked_at IS NULL AND t.deleted_at IS NULL
""")  # noqa: S608 - ours
USED = text(
    "UPDATE api_keys SET last_used_at = clock_timestamp() WHERE tenant_id = :tenant"
    " AND key_id = :key AND (last_used_at IS NULL"
    " OR last_used_at < clock_timestamp() - make_interval(secs => :every))"
)

log = structlog.get_logger("trident.api_keys")


class Found(NamedTuple):
    """A key that counts: what it may do, who knows its secret, and until when it counts."""

    powers: Powers
    known_to: frozenset[str]
    until: float
    used_lately: bool


def look_up(engine: Engine, spelled: Spelled, digest: bytes) -> Found | None:
    """The key whose SHA-256 this is; None if there is none, or it does not count any more."""
    with engine.begin() as connection:
        set_tenant(connection, spelled.tenant_id)
        scope = {"tenant": spelled.tenant_id, "key": spelled.key_id}
        row = connection.execute(LOOK_UP, scope).one_or_none()
    if row is None:
        return None
    until = float("inf") if row.expires is None else row.expires
    # Compared in constant time: how much of a guess was right must not be seen.
    if not hmac.compare_digest(row.hash, digest):
        if row.previous_hash is None or not hmac.compare_digest(row.previous_hash, digest):
            return None
        until = min(until, row.previous_until)
    if until <= row.now or not row.holder_may_act:
        return None
    powers = Powers(
        tuple(row.roles),
        None if row.scopes is None else tuple(row.scopes),
        None if row.ledgers is None else tuple(row.ledgers),
        None if row.limits is None else json.loads(row.limits),
    )
    return Found(
        powers if row.holder_roles is None else bounded(powers, row.holder_roles),
        frozenset(row.known_to),
        until,
        row.last_used is not None and row.now - row.last_used < USED_EVERY_S,
    )


class Uses:
    """Writes down when keys were used, in a thread of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._noted: dict[Spelled, float] = {}
        self._due: queue.Queue[Spelled | None] = queue.Queue(WAITING_MAX)
        self._thread = threading.Thread(target=self._run, name="trident-key-uses", daemon=True)
        self._thread.start()

    def note(self, spelled: Spelled, found: Found) -> None:
        """The key is used now. Returns at once."""
        now = time.monotonic()
        if found.used_lately or now - self._noted.get(spelled, float("-inf")) < USED_EVERY_S:
            return
        if len(self._noted) >= WAITING_MAX:
            self._noted.clear()
        self._noted[spelled] = now
        try:
            self._due.put_nowait(spelled)
        except queue.Full:
            del self._noted[spelled]

    def stop(self) -> None:
        """Write what waits, and end the thread."""
        try:
            self._due.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (spelled := self._due.get()) is not None:
            scope = {"tenant": spelled.tenant_id, "key": spelled.key_id, "every": USED_EVERY_S}
            try:
                with tenant_writing(spelled.tenant_id, self._engine) as connection:
                    connection.execute(USED, scope)
            except (SQLAlchemyError, SettingsError) as error:  # the next minute writes it
                log.warning("use_not_written", error=type(error).__name__)
