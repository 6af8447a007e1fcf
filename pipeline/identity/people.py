"""People of a tenant: who there is, what each may do, and what lets them choose a password.

All of it within the tenant's transaction (models/db.py), with its event as the last thing in it.
"""

import datetime as dt
import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from models import sealed
from models.key_ring import KeyRing
from pipeline.identity.errors import IdentityError
from pipeline.identity.key_powers import BeyondError, Powers, check_within
from pipeline.permissions import PEOPLE_ONLY, ROLES, allowed, for_subject
from pipeline.privacy.data_keys import DataKey, key_of, keys_of

ID_BYTES = 10
ID = re.compile(r"(?:pe|se)_[0-9a-f]{20}", re.ASCII)
# Whose key the hashes of e-mail addresses are made with: one for each tenant.
EMAILS = "trident:people"
# Who an event is of when nobody knows, or nobody did it.
NOBODY = "trident"
# Whether somebody may act now, of the table `people`: there is no other such rule. Whatever lets a
# person do anything asks it: sessions, passwords, invitations that they made, their API keys.
MAY_ACT = "({people}.status = 'active' AND NOT {people}.restricted)"
# What an owner alone may do: who has such a role is one.
OWNING = "people.owners"

COLUMNS = """person_id, email, name, roles, status, restricted, version, created_at,
       totp_secret IS NOT NULL AS second_factor, password_hash IS NOT NULL AS accepted"""
INSERT = text("""
    INSERT INTO people (tenant_id, person_id, email, email_hash, name, roles)
    VALUES (:tenant, :person, :email, :hash, :name, :roles)
    ON CONFLICT (tenant_id, email_hash) DO NOTHING
""")
ONE = text(f"SELECT {COLUMNS} FROM people WHERE tenant_id = :tenant AND person_id = :person")  # noqa: S608 - ours
ONE_LOCKED = text(f"{ONE.text} FOR UPDATE")
PAGE = text(f"""
    SELECT {COLUMNS} FROM people WHERE tenant_id = :tenant AND person_id > :after
     ORDER BY person_id LIMIT :many
""")  # noqa: S608 - ours
BY_EMAIL = text("SELECT person_id FROM people WHERE tenant_id = :tenant AND email_hash = :hash")
RENAME = text("UPDATE people SET name = :name WHERE tenant_id = :tenant AND person_id = :person")


class Actor(NamedTuple):
    """Who acts, and what it may do."""

    subject: str
    roles: frozenset[str]
    scopes: tuple[str, ...] | None = None
    ledgers: frozenset[str] | None = None
    limits: Mapping[str, int] | None = None


class Person(NamedTuple):
    """Somebody. `email` and `name` are None once they are erased."""

    person_id: str
    email: str | None
    name: str | None
    roles: tuple[str, ...]
    status: str
    restricted: bool
    version: int
    created_at: dt.datetime
    second_factor: bool
    accepted: bool

    @property
    def may_act(self) -> bool:
        """The rule of MAY_ACT, of a row that was read."""
        return self.status == "active" and not self.restricted

    @property
    def subject(self) -> str:
        """As tokens, events and data keys name them."""
        return subject_of(self.person_id)


def subject_of(person_id: str) -> str:
    """`person:pe_…`"""
    return f"person:{person_id}"


def new_id(prefix: str) -> str:
    """An id by chance: `pe_` of a person, `se_` of a session."""
    return f"{prefix}_{secrets.token_hex(ID_BYTES)}"


def is_id(shown: str) -> bool:
    """Whether it has the shape of one: the database takes no text with a NUL in it."""
    return ID.fullmatch(shown) is not None


def email_hash(connection: Connection, ring: KeyRing, tenant_id: int, email: str) -> bytes:
    """What a person is found by: nobody who has only the database can try addresses on it."""
    key = key_of(connection, ring, tenant_id, EMAILS, make=True).key
    plain = unicodedata.normalize("NFC", email.strip()).casefold()
    return hmac.digest(key, plain.encode(), hashlib.sha256)


def seal(key: DataKey, tenant_id: int, place: str, row: str, value: str | bytes) -> bytes:
    """A value sealed for its `table.column` and row, under its person's key."""
    plain = value.encode() if isinstance(value, str) else value
    return sealed.seal(key.key, plain, _aad(key, tenant_id, place, row))


def unseal(key: DataKey, tenant_id: int, place: str, row: str, value: bytes) -> bytes:
    """What was sealed; raises TamperedError."""
    return sealed.open_sealed(key.key, bytes(value), _aad(key, tenant_id, place, row))


def invite(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    actor: Actor,
    email: str,
    roles: Iterable[str],
    name: str | None = None,
) -> Person:
    """Somebody new, who cannot do anything until they choose a password (tickets.py)."""
    given = checked_roles(actor, roles)
    person_id = new_id("pe")
    # Nobody else knows of this one yet, and nobody waits for it.
    key = key_of(connection, ring, tenant_id, subject_of(person_id), make=True)
    found_by = email_hash(connection, ring, tenant_id, email)
    made = connection.execute(
        INSERT,
        {
            "tenant": tenant_id,
            "person": person_id,
            "email": seal(key, tenant_id, "people.email", person_id, email.strip()),
            "hash": found_by,
            "name": None if name is None else seal(key, tenant_id, "people.name", person_id, name),
            "roles": given,
        },
    ).rowcount
    if not made:
        raise IdentityError("person_exists", "Somebody of the tenant has this e-mail address.")
    return found(connection, ring, tenant_id, person_id)


def found(
    connection: Connection, ring: KeyRing, tenant_id: int, person_id: str, *, lock: bool = False
) -> Person:
    """The person; `lock`: nobody changes it until the transaction ends. Raises IdentityError."""
    named = {"tenant": tenant_id, "person": person_id}
    row, subject = None, subject_of(person_id)
    if is_id(person_id):
        # The key first: it may have to be fetched, which nobody waits for behind a locked row.
        keys = keys_of(connection, ring, tenant_id, [subject])
        row = connection.execute(ONE_LOCKED if lock else ONE, named).one_or_none()
    if row is None:
        raise IdentityError("unknown_person", "The tenant has no person of this id.")
    return _person(tenant_id, row, keys[subject])


def by_email(connection: Connection, ring: KeyRing, tenant_id: int, email: str) -> str | None:
    """The id of whoever has this e-mail address."""
    hashed = email_hash(connection, ring, tenant_id, email)
    found: str | None = connection.execute(BY_EMAIL, {"tenant": tenant_id, "hash": hashed}).scalar()
    return found


def page(
    connection: Connection, ring: KeyRing, tenant_id: int, after: str | None, many: int
) -> list[Person]:
    """So many people, by their ids."""
    asked = {"tenant": tenant_id, "after": after or "", "many": many}
    rows = connection.execute(PAGE, asked).all()
    subjects = [subject_of(row.person_id) for row in rows]
    keys = keys_of(connection, ring, tenant_id, subjects)
    return [_person(tenant_id, row, keys[subject_of(row.person_id)]) for row in rows]


def rename(
    connection: Connection, ring: KeyRing, tenant_id: int, person_id: str, name: str
) -> Person:
    """Let somebody be called otherwise."""
    before = found(connection, ring, tenant_id, person_id, lock=True)
    key = key_of(connection, ring, tenant_id, before.subject)
    value = seal(key, tenant_id, "people.name", person_id, name)
    connection.execute(RENAME, {"tenant": tenant_id, "person": person_id, "name": value})
    return before._replace(name=name)


def owns(roles: Iterable[str]) -> bool:
    """Whether these roles make an owner."""
    return allowed(roles, OWNING)


def guard_owner(actor: Actor, person: Person) -> None:
    """Only an owner does anything to an owner: who resets their password could be them."""
    if owns(person.roles):
        demand_owner(actor)


def guard_other(actor: Actor, person: Person) -> None:
    """Refuse who would do to themselves, without their password, what admins do for others."""
    if actor.subject == person.subject:
        raise IdentityError(
            "own_person",
            "For yourself it takes your present password: use the addresses below /v1/people/me.",
        )


def guard_powers(actor: Actor, roles: Iterable[str]) -> None:
    """Nobody gives these roles, or a way in to who has them, who may do less: it could be them.

    People have neither scopes nor ledgers nor limits, so who is narrowed by such gives little.
    """
    given = tuple(roles)
    ledgers = None if actor.ledgers is None else tuple(sorted(actor.ledgers))
    try:
        check_within(Powers(given), Powers(tuple(actor.roles), actor.scopes, ledgers, actor.limits))
    except BeyondError as error:
        raise IdentityError("beyond_own", f"{', '.join(given)}: {error}") from None
    for action in PEOPLE_ONLY:
        if allowed(given, action) and not for_subject(actor.subject, action):
            raise IdentityError(
                "beyond_own", f"{', '.join(given)}: this permits {action}, which is for people."
            )


def checked_roles(actor: Actor, roles: Iterable[str]) -> list[str]:
    """The roles, if the actor may give them; raises IdentityError."""
    given = [role for role in ROLES if role in set(roles)]
    if owns(given):
        demand_owner(actor)
    return given


def demand_owner(actor: Actor) -> None:
    """Refuse who is none; raises IdentityError."""
    if not allowed(actor.roles, OWNING, actor.scopes):
        raise IdentityError(
            "owners_only", "This takes `people.owners`: owners alone make, change and reset owners."
        )


def _person(tenant_id: int, row: Row[Any], key: DataKey | dt.datetime) -> Person:
    email = name = None
    if isinstance(key, DataKey) and row.status != "erased":
        email = unseal(key, tenant_id, "people.email", row.person_id, row.email).decode()
        if row.name is not None:
            name = unseal(key, tenant_id, "people.name", row.person_id, row.name).decode()
    return Person(
        row.person_id,
        email,
        name,
        tuple(row.roles),
        row.status,
        row.restricted,
        row.version,
        row.created_at,
        row.second_factor,
        row.accepted,
    )


def _aad(key: DataKey, tenant_id: int, place: str, row: str) -> bytes:
    table, _, column = place.partition(".")
    return sealed.aad(tenant_id, table, column, row, key.version)
