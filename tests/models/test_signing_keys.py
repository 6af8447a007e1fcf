"""Signing keys: which one signs, which verify, how long a process remembers them."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DisconnectionError, OperationalError

from models import signing_key
from models.db import app_engine, make_engine, owner_engine
from models.key_ring import LocalRing, Wrapped, key_ring, named_source
from models.settings import SettingsError
from models.signing_key import LIVES_ON, SigningKeys, UnknownKeyError, make_first, read, rotate


@pytest.fixture
def owner(env: dict[str, str]) -> Iterator[Engine]:
    """The owner's engine."""
    key_ring.cache_clear()
    with owner_engine() as engine:
        yield engine
    key_ring.cache_clear()


@pytest.fixture
def keys(owner: Engine) -> SigningKeys:
    """What a process knows that has just started."""
    return SigningKeys(app_engine())


def later(keys: SigningKeys, seconds: float) -> None:
    """Let its last look be so much longer ago."""
    keys._looked_at -= seconds


@pytest.fixture
def looks(owner: Engine) -> Iterator[list[str]]:
    """Every query for the keys."""
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "signing_keys" in statement:
            asked.append(statement)

    event.listen(app_engine(), "before_cursor_execute", note)
    yield asked
    event.remove(app_engine(), "before_cursor_execute", note)


def test_there_is_one_from_the_first_start_on(owner: Engine, env: dict[str, str]) -> None:
    """The stack made a key, and a second start makes no other."""
    with owner.connect() as connection:
        before = [key.kid for key in read(connection)]
        make_first(env["TRIDENT_OWNER_DATABASE_URL"], key_ring())
        assert [key.kid for key in read(connection)] == before != []


def test_no_writer_waits_for_kms(owner: Engine) -> None:
    """A key is wrapped before the table is locked."""

    class Far(LocalRing):
        """A ring that looks whether somebody else could write to the table meanwhile."""

        def wrap(self, key: bytes, aad: bytes) -> Wrapped:
            with owner.begin() as connection:
                connection.execute(text(f"{signing_key.LOCK.text} NOWAIT"))
            return super().wrap(key, aad)

    kid = rotate(owner, Far(named_source()))
    with owner.connect() as connection:
        assert read(connection)[0].kid == kid


def test_the_newest_signs_and_the_others_verify(owner: Engine, keys: SigningKeys) -> None:
    """After a rotation: the new one signs, the one before verifies for seven days more."""
    before, _ = keys.signing(key_ring())
    kid = rotate(owner, key_ring())
    fresh = SigningKeys(app_engine())
    assert fresh.signing(key_ring())[0] == kid
    assert fresh.published()[0].kid == kid
    assert fresh.verifying(before) is not None
    with owner.connect() as connection:
        retired = next(key.retired_at for key in read(connection) if key.kid == before)
    assert retired is not None
    left = retired - dt.datetime.now(dt.UTC)
    assert LIVES_ON - dt.timedelta(minutes=1) < left < LIVES_ON
    assert dt.timedelta(days=7) <= LIVES_ON
    rotate(owner, key_ring())
    with owner.connect() as connection:
        again = next(key.retired_at for key in read(connection) if key.kid == before)
    assert again == retired


def test_a_new_key_is_found_at_once(owner: Engine, keys: SigningKeys) -> None:
    """A process that has looked a second ago looks again."""
    keys.published()
    kid = rotate(owner, key_ring())
    later(keys, signing_key.REMEMBERED_S)
    assert keys.verifying(kid) is not None


def test_a_flood_of_unknown_ids_costs_nothing(keys: SigningKeys, looks: list[str]) -> None:
    """Within a second all of them together cost one query; ids that are no text cost none."""
    odd: object
    for odd in (None, 7, ["x"], {}, b"x"):
        assert keys.verifying(odd) is None
    assert looks == []
    for number in range(1_000):
        assert keys.verifying(f"unknown-{number}") is None
    assert len(looks) == 1
    later(keys, signing_key.REMEMBERED_S)
    for number in range(1_000):
        assert keys.verifying(f"unknown-{number}") is None
    assert len(looks) == 2


def test_a_database_that_is_away_is_asked_once(owner: Engine, keys: SigningKeys) -> None:
    """What is remembered is good for its second; then one look fails, and others fail with it."""
    kid, _ = keys.signing(key_ring())
    keys._engine = make_engine("postgresql://x:x@127.0.0.1:1/none", statement_timeout_ms=1_000)
    assert keys.verifying(kid) is not None
    later(keys, signing_key.REMEMBERED_S)
    with pytest.raises(OperationalError):
        keys.verifying(kid)
    with pytest.raises(DisconnectionError):
        keys.verifying(kid)
    keys._failed_at -= signing_key.REMEMBERED_S
    keys._engine = app_engine()
    assert keys.verifying(kid) is not None


def test_a_revoked_key_is_forgotten_within_a_second(owner: Engine, keys: SigningKeys) -> None:
    """It is not published, verifies nothing and signs nothing where it was remembered."""
    kid = rotate(owner, key_ring())
    assert keys.verifying(kid) is not None
    rotate(owner, key_ring(), revoked=kid)
    assert SigningKeys(app_engine()).verifying(kid) is None
    later(keys, signing_key.REMEMBERED_S)
    assert keys.verifying(kid) is None
    assert kid not in [key.kid for key in keys.published()]
    assert keys.signing(key_ring())[0] != kid
    assert signing_key.REMEMBERED_S <= 1


def test_a_remembered_key_ends_on_time(keys: SigningKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose time comes while it is remembered verifies no longer."""
    (first, *_) = keys.published()
    ended = first._replace(retired_at=dt.datetime.now(dt.UTC))
    monkeypatch.setattr(keys, "_keys", {first.kid: ended})
    assert keys.verifying(first.kid) is None
    assert keys.published() == []


@pytest.mark.parametrize("kid", ["unknown", "retired"])
def test_what_cannot_be_revoked_changes_nothing(owner: Engine, kid: str) -> None:
    """An id that is not there, or revoked already: no new key either."""
    if kid == "retired":
        kid = rotate(owner, key_ring())
        rotate(owner, key_ring(), revoked=kid)
    with owner.connect() as connection:
        before = [key.kid for key in read(connection)]
    with pytest.raises(UnknownKeyError):
        rotate(owner, key_ring(), revoked=kid)
    with owner.connect() as connection:
        assert [key.kid for key in read(connection)] == before


def test_without_a_key_nothing_is_signed(owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to make one; a key that only verifies does not sign."""
    with owner.connect() as connection:
        retiring = [key for key in read(connection) if key.retired_at is not None]
    for left in ([], retiring):
        monkeypatch.setattr(signing_key, "read", lambda _, left=left: left)
        with pytest.raises(SettingsError, match="`trident db upgrade` makes the first one"):
            SigningKeys(app_engine()).signing(key_ring())


def test_a_private_key_that_was_changed_does_not_sign(owner: Engine) -> None:
    """Nor one that was taken from another row: the message names the key and its KEK."""
    own, other = rotate(owner, key_ring()), rotate(owner, key_ring())
    swap = text(
        "UPDATE signing_keys s SET private_key = o.private_key FROM signing_keys o"
        " WHERE s.kid = :other AND o.kid = :own"
    )
    with owner.begin() as connection:
        swapped = _swapped(connection, swap, own, other)
        connection.rollback()
    with pytest.raises(SettingsError, match=f"signing key {other} does not open with the key-"):
        swapped.private_key(key_ring())


def _swapped(connection: Connection, swap: Any, own: str, other: str) -> signing_key.SigningKey:
    connection.execute(swap, {"own": own, "other": other})
    return next(key for key in read(connection) if key.kid == other)
