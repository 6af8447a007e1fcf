"""`trident keys`: rotation while everything goes on, and what can be seen of it."""

import base64
import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from sqlalchemy import Engine, text

from models import signing_key
from models.db import app_engine, owner_engine
from models.key_ring import key_ring
from models.sealed import new_key
from models.settings import SettingsError, settings
from models.signing_key import SigningKeys, signing_keys
from models.token import claims_of, signed
from pipeline import rewrap
from tests.cli.conftest import Trident, told

SIGNING = next(one for one in rewrap.COLUMNS if one.table == "signing_keys")


@pytest.fixture
def file(env: dict[str, str]) -> Iterator[Path]:
    """The KEK file of the stack, which is put back in the end, with everything wrapped under it."""
    file = Path(env["TRIDENT_KEKS_FILE"])
    before = file.read_text()
    key_ring.cache_clear()
    yield file
    every = dict.fromkeys([*before.splitlines(), *file.read_text().splitlines()])
    file.write_text("\n".join(every))
    with owner_engine() as engine:
        for one in rewrap.COLUMNS:
            assert not rewrap.rewrap(engine, key_ring(), one).stuck
    file.write_text(before)
    key_ring.cache_clear()


@pytest.fixture
def owner(env: dict[str, str]) -> Iterator[Engine]:
    """The owner's engine."""
    with owner_engine() as engine:
        yield engine


def entry(name: str) -> str:
    """A new KEK."""
    return f"{name}:{base64.b64encode(new_key()).decode()}\n"


def wrappings(owner: Engine) -> set[str]:
    """The KEKs of all signing keys."""
    with owner.connect() as connection:
        return set(connection.execute(text("SELECT kek FROM signing_keys")).scalars())


def listed(trident: Trident) -> list[dict[str, str]]:
    """What `trident keys list --json` shows."""
    found: list[dict[str, str]] = orjson.loads(trident("keys", "list", "--format", "json").stdout)
    return found


def test_a_new_key_signs_and_the_old_one_verifies(trident: Trident, file: Path) -> None:
    """The list shows which signs, which verify, and until when."""
    before = listed(trident)[0]["kid"]
    other = int(trident("tenants", "create", "relies-on-it").stdout.split()[-1].rstrip("."))
    said = trident("keys", "rotate").stdout
    newest, *others = listed(trident)
    assert f"New tokens are signed with the key {newest['kid']}." in said
    for tenant in (1, other):
        (event,) = told("key.rotated", tenant)[:1]
        assert event["target"] == f"signing_key:{newest['kid']}"
    assert (newest["state"], newest["retires_at"]) == ("signs", "")
    old = next(one for one in others if one["kid"] == before)
    assert old["state"] == "verifies"
    assert old["retires_at"] > old["created_at"]
    shown = trident("keys", "list").stdout
    assert newest["kid"] in shown
    assert f"keys are wrapped under {key_ring().current} (current)" in shown


def test_everything_is_wrapped_anew(trident: Trident, file: Path, owner: Engine) -> None:
    """Under the new KEK; then the old one may go, and tokens verify and are signed as before."""
    file.write_text(entry("kek-next") + file.read_text())
    assert "`trident keys rotate` wraps them anew" in trident("keys", "list").stdout
    result = trident("keys", "rotate")
    assert result.exit_code == 0
    assert "keys wrapped anew under kek-next." in result.stdout
    assert wrappings(owner) == {"kek-next"}
    file.write_text(file.read_text().splitlines()[0])
    keys = SigningKeys(app_engine())
    claims = claims_of("tests", 1, ["admin"], dt.timedelta(minutes=1))
    assert signed(claims, keys, key_ring())
    with owner.connect() as connection:
        rows = connection.execute(text("SELECT kid FROM signing_keys WHERE retired_at > now()"))
        assert all(keys.verifying(kid) is not None for kid in rows.scalars())


def test_a_revoked_key_verifies_nothing(trident: Trident, file: Path) -> None:
    """It is gone from the list, and a new key signs."""
    doomed = listed(trident)[0]["kid"]
    said = trident("keys", "rotate", "--revoke", doomed).stdout
    assert f"The key {doomed} is revoked" in said
    (event,) = told("key.revoked")[:1]
    assert event["target"] == f"signing_key:{doomed}"
    assert doomed not in {one["kid"] for one in listed(trident)}
    assert SigningKeys(app_engine()).verifying(doomed) is None
    signing_keys.cache_clear()


def test_a_key_that_is_not_there_is_not_revoked(trident: Trident) -> None:
    """Exit 2, and nothing was changed."""
    before = listed(trident)
    result = trident("keys", "rotate", "--revoke", "nobody")
    assert result.exit_code == 2
    assert "No signing key nobody is left to revoke" in result.stderr
    assert "signing_key:nobody" not in str(told("key.revoked"))
    assert listed(trident) == before


def test_a_kek_that_was_taken_away_too_early_is_named(
    trident: Trident, file: Path, owner: Engine
) -> None:
    """By whoever starts next, before anybody asks: with how much hangs on it."""
    (before,) = wrappings(owner)
    file.write_text(entry("kek-next"))
    key_ring.cache_clear()
    result = trident("db", "upgrade")
    assert f"keys are wrapped under the key-encryption key {before}, which" in result.stderr
    assert result.exit_code == 0


def test_of_two_rotations_at_once_one_key_signs(file: Path, owner: Engine) -> None:
    """Each makes a key; the later one follows the other."""
    with ThreadPoolExecutor(2) as pool:
        kids = set(pool.map(lambda _: signing_key.rotate(owner, key_ring()), range(2)))
    with owner.connect() as connection:
        every = signing_key.read(connection)
    (signs,) = [key.kid for key in every if key.retired_at is None]
    assert signs in kids < {key.kid for key in every}


def test_a_kek_that_is_lost_stops_nothing_else(trident: Trident, file: Path, owner: Engine) -> None:
    """What cannot be unwrapped stays, is counted, and makes the exit status 1."""
    lost = (
        "INSERT INTO signing_keys (kid, public_key, private_key, kek, retired_at)"
        " VALUES ('a-lost-one', decode(repeat('ee', 32), 'hex'), 'x', 'kek-lost', now())"
    )
    with owner.begin() as connection:
        connection.execute(text(lost))
    try:
        file.write_text(entry("kek-next") + file.read_text())
        result = trident("keys", "rotate")
        assert result.exit_code == 1
        assert "1 keys under kek-lost cannot be unwrapped and stay as they are" in result.stderr
        assert wrappings(owner) == {"kek-next", "kek-lost"}
    finally:
        with owner.begin() as connection:
            connection.execute(text("DELETE FROM signing_keys WHERE kid = 'a-lost-one'"))


def test_batches_meet_every_row_once(
    file: Path, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rotations at once, in batches smaller than the table: every row is wrapped anew once."""
    monkeypatch.setattr(rewrap, "BATCH_ROWS", 2)
    with owner.begin() as connection:
        for number in range(5):
            connection.execute(
                text(
                    "INSERT INTO signing_keys (kid, public_key, private_key, kek, retired_at)"
                    " VALUES (:kid, :public, :private, :kek, now())"
                ),
                _row(f"batch-{number}"),
            )
    file.write_text(entry("kek-next") + file.read_text())
    with owner.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM signing_keys")).scalar_one()
    with ThreadPoolExecutor(2) as both:
        made = list(both.map(lambda _: rewrap.rewrap(owner, key_ring(), SIGNING), range(2)))
    assert sum(each.done for each in made) == count
    assert not any(each.stuck for each in made)
    assert wrappings(owner) == {"kek-next"}


def _row(kid: str) -> dict[str, object]:
    kek, data = key_ring().wrap(new_key(), SIGNING.aad(kid))
    return {"kid": kid, "public": new_key(), "private": data, "kek": kek}


def test_rotation_is_the_owners(trident: Trident, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the owner's address it is refused with its name."""
    monkeypatch.delenv("TRIDENT_OWNER_DATABASE_URL")
    monkeypatch.setenv("TRIDENT_HOME", "/nonexistent")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="TRIDENT_OWNER_DATABASE_URL is not set"):
        trident("keys", "rotate")
