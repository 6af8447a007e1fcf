"""Keys of subjects: made once, found again, destroyed for ever."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from models.db import owner_engine, tenant_writing
from models.key_ring import KeyRing, Wrapped, key_ring
from models.sealed import TamperedError
from pipeline.privacy.data_keys import ErasedError, UnknownSubjectError, destroy, key_of
from pipeline.rewrap import COLUMNS, rewrap

_numbers = count(1)


def new_tenant() -> int:
    """A tenant of its own."""
    with owner_engine() as engine, engine.begin() as connection:
        name = f"subjects-{next(_numbers)}"
        insert = text("INSERT INTO tenants (name) VALUES (:name) RETURNING tenant_id")
        return int(connection.execute(insert, {"name": name}).scalar_one())


@pytest.fixture
def ring(env: dict[str, str]) -> Iterator[KeyRing]:
    """The installation's."""
    key_ring.cache_clear()
    yield key_ring()
    key_ring.cache_clear()


@pytest.fixture
def tenant(env: dict[str, str]) -> int:
    """A tenant that has no subjects yet."""
    return new_tenant()


class Renamed:
    """The same ring, which knows its key by an older name as well."""

    at_once = 1

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    @property
    def current(self) -> str:
        return self._ring.current

    def has(self, kek: str) -> bool:
        """As the other, and of the name before."""
        return True

    def wrap(self, key: bytes, aad: bytes) -> Wrapped:
        return self._ring.wrap(key, aad)

    def unwrap(self, wrapped: Wrapped, aad: bytes) -> bytes:
        return self._ring.unwrap(wrapped._replace(kek=self._ring.current), aad)


def key(tenant: int, ring: KeyRing, subject: str, *, make: bool = True) -> bytes:
    """Asked for in a transaction of its own."""
    with tenant_writing(tenant) as connection:
        return key_of(connection, ring, tenant, subject, make=make).key


def test_a_subject_has_one_key(tenant: int, ring: KeyRing) -> None:
    """It is made on first use, and no two subjects share one."""
    with pytest.raises(UnknownSubjectError):
        key(tenant, ring, "subject:42", make=False)
    first = key(tenant, ring, "subject:42")
    assert key(tenant, ring, "subject:42") == first
    assert key(tenant, ring, "subject:43") != first


def test_a_crowd_makes_one_key(tenant: int, ring: KeyRing) -> None:
    """Whoever comes second finds the key of whoever came first."""
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: key(tenant, ring, "subject:crowd"), range(16)))
    assert len(keys) == 1


def test_another_tenant_has_another_key(tenant: int, ring: KeyRing) -> None:
    """The same name means somebody else there."""
    assert key(tenant, ring, "subject:42") != key(new_tenant(), ring, "subject:42")


def test_what_is_destroyed_never_comes_back(tenant: int, ring: KeyRing) -> None:
    """Neither its key nor a new one, whoever asks."""
    key(tenant, ring, "subject:42")
    with tenant_writing(tenant) as connection:
        assert destroy(connection, tenant, "subject:42")
    with tenant_writing(tenant) as connection:
        assert not destroy(connection, tenant, "subject:42")
    for make in (True, False):
        with pytest.raises(ErasedError):
            key(tenant, ring, "subject:42", make=make)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE data_keys SET erased_at = NULL, wrapped = '\\x00', kek = 'k'",
        "DELETE FROM data_keys",
        "INSERT INTO data_keys (tenant_id, subject, wrapped, kek) SELECT tenant_id, subject,"
        " '\\x00', 'k' FROM data_keys",
        "TRUNCATE data_keys",
    ],
)
def test_the_database_lets_nobody_undo_it(tenant: int, ring: KeyRing, statement: str) -> None:
    """Not the application, nor the owner of the tables."""
    key(tenant, ring, "subject:gone")
    with tenant_writing(tenant) as connection:
        destroy(connection, tenant, "subject:gone")
    where = "" if "TRUNCATE" in statement else " WHERE tenant_id = :tenant"
    parameters = {"tenant": tenant} if where else {}
    with pytest.raises(DatabaseError), tenant_writing(tenant) as connection:
        connection.execute(text(statement + where), parameters)
    with pytest.raises(DatabaseError), owner_engine() as engine, engine.begin() as connection:
        connection.execute(text(statement + where), parameters)


def test_a_key_opens_in_its_own_place_alone(tenant: int, ring: KeyRing) -> None:
    """A wrapped key that is copied to another subject is of no use there."""
    key(tenant, ring, "subject:mine")
    key(tenant, ring, "subject:theirs")
    with tenant_writing(tenant) as connection:
        connection.execute(
            text(
                "UPDATE data_keys d SET wrapped = m.wrapped FROM data_keys m"
                " WHERE d.subject = 'subject:theirs' AND m.subject = 'subject:mine'"
            )
        )
    with pytest.raises(TamperedError):
        key(tenant, ring, "subject:theirs")
    with tenant_writing(tenant) as connection:  # other tests wrap every key anew
        destroy(connection, tenant, "subject:theirs")


def test_keys_are_wrapped_anew_and_stay_the_same(tenant: int, ring: KeyRing) -> None:
    """Under another key-encryption key, and what was erased stays erased."""
    before = key(tenant, ring, "subject:kept")
    key(tenant, ring, "subject:gone")
    with tenant_writing(tenant) as connection:
        destroy(connection, tenant, "subject:gone")
        connection.execute(text("UPDATE data_keys SET kek = 'older' WHERE erased_at IS NULL"))
    (column,) = (one for one in COLUMNS if one.table == "data_keys")

    with owner_engine() as engine:
        rewrap(engine, Renamed(ring), column)
    assert key(tenant, ring, "subject:kept") == before
    with pytest.raises(ErasedError):
        key(tenant, ring, "subject:gone")
