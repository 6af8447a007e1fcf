"""The key ring: where key-encryption keys come from, and what they wrap."""

import base64
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from models import keks, settings
from models.keks import KekSource
from models.key_ring import KeyRingError, UnknownKekError, Wrapped, key_ring, ring_of
from models.sealed import TamperedError, aad, new_key
from tasks.app import _fail_early

PLACE = aad(0, "signing_keys", "private_key", "k", 1)
FIRST, SECOND = (
    f"{name}:{base64.b64encode(bytes([number]) * 32).decode()}"
    for number, name in enumerate(("first", "second"))
)


def of(*entries: str) -> KekSource:
    """These, given in the environment."""
    return KekSource(given=",".join(entries))


def test_what_was_wrapped_is_unwrapped() -> None:
    """Under the first KEK, and by whoever has that one, wherever it stands."""
    key = new_key()
    wrapped = ring_of(of(FIRST, SECOND)).wrap(key, PLACE)
    assert wrapped.kek == ring_of(of(FIRST, SECOND)).current == "first"
    assert key not in wrapped.data
    assert ring_of(of(SECOND, FIRST)).unwrap(wrapped, PLACE) == key


def test_a_wrapped_key_stays_where_it_is() -> None:
    """At another place, changed, or under a KEK of the same name it does not unwrap."""
    ring = ring_of(of(FIRST))
    wrapped = ring.wrap(new_key(), PLACE)
    with pytest.raises(TamperedError):
        ring.unwrap(wrapped, aad(0, "signing_keys", "private_key", "other", 1))
    with pytest.raises(TamperedError):
        ring.unwrap(Wrapped(wrapped.kek, wrapped.data[:-1] + b"x"), PLACE)
    with pytest.raises(TamperedError):
        ring_of(of(SECOND.replace("second", "first"))).unwrap(wrapped, PLACE)


def test_a_kek_that_is_not_at_hand_is_named() -> None:
    """Whoever has lost a KEK is told which one to put back, and where."""
    wrapped = ring_of(of(FIRST)).wrap(new_key(), PLACE)
    with pytest.raises(UnknownKekError, match="key first, which TRIDENT_KEKS does not have"):
        ring_of(of(SECOND)).unwrap(wrapped, PLACE)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty file for its owner only."""
    made = tmp_path / "keks"
    made.touch(0o600)
    return made


def test_a_file_is_read_again(file: Path) -> None:
    """A running process takes up a KEK that was put into the file, and drops one taken out."""
    file.write_text(f"# The key-encryption keys\n\n{FIRST}\n")
    ring = ring_of(KekSource(file=file))
    old = ring.wrap(b"key", PLACE)
    elsewhere = ring_of(of(SECOND)).wrap(b"other", PLACE)
    file.write_text(f"{SECOND}\n{FIRST}\n")
    assert ring.unwrap(elsewhere, PLACE) == b"other"
    assert ring.current == ring.wrap(b"key", PLACE).kek == "second"
    assert ring.unwrap(old, PLACE) == b"key"
    file.write_text(f"{SECOND}\n")
    assert ring.current == "second"
    with pytest.raises(UnknownKekError):
        ring.unwrap(old, PLACE)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o620])
def test_a_file_that_is_open_to_others_is_refused(file: Path, mode: int) -> None:
    """Everybody's to read, or its group's to write; the group may read it."""
    file.write_text(FIRST)
    file.chmod(mode)
    with pytest.raises(KeyRingError, match=f"keks is open to others .*mode 0{mode:o}.*chmod 600"):
        ring_of(KekSource(file=file))
    file.chmod(0o640)
    assert ring_of(KekSource(file=file)).current == "first"


def test_a_file_that_breaks_later_changes_nothing(file: Path) -> None:
    """What was read before goes on until the file is mended."""
    file.write_text(FIRST)
    ring = ring_of(KekSource(file=file))
    file.write_text("nonsense")
    assert ring.current == "first"
    file.unlink()
    assert ring.current == "first"
    file.touch(0o600)
    file.write_text(SECOND)
    assert ring.current == "second"


def test_the_repr_shows_no_key() -> None:
    """Settings may be printed or logged."""
    assert FIRST.partition(":")[2] not in repr(of(FIRST))


def test_a_new_entry_can_be_read() -> None:
    """What the embedded stack writes into its file is a KEK, and never the same twice."""
    assert len(keks.parse([keks.new_entry(), keks.new_entry()])) == 2


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([], "there is no key"),
        ([" ", "# only words"], "there is no key"),
        (["first"], "entry 1: the key first has 0 bytes, not 32"),
        ([f"first:{base64.b64encode(b'k' * 31).decode()}"], "has 31 bytes, not 32"),
        ([f"first:{base64.b64encode(b'k' * 33).decode()}"], "has 33 bytes, not 32"),
        (["first:!!!"], "the key first is not base64"),
        (["first:ééé"], "the key first is not base64"),
        ([FIRST, FIRST], "entry 2: the id first stands there twice"),
        ([FIRST, "a/b:AAAA"], "entry 2: it does not begin with an id"),
        ([base64.b64encode(b"k" * 32).decode()], "entry 1: it does not begin with an id"),
        (["x:AA==", "y:AA=="], "entry 1: the key x has 1 bytes, not 32; entry 2: the key y"),
    ],
)
def test_keks_that_cannot_be_read(entries: list[str], fault: str) -> None:
    """Every fault is named with its place, and no key is shown."""
    with pytest.raises(keks.KeksError) as refused:
        keks.parse(entries)
    assert fault in str(refused.value)
    assert base64.b64encode(b"k" * 32).decode() not in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "fault"),
    [
        ({}, "TRIDENT_KEKS: is not set, nor is TRIDENT_KEKS_FILE or TRIDENT_KMS_KEY"),
        ({"TRIDENT_KEKS": ""}, "TRIDENT_KEKS: is not set"),
        (
            {"TRIDENT_KEKS": FIRST, "TRIDENT_KMS_KEY": "alias/trident"},
            "one source too many: of TRIDENT_KEKS, TRIDENT_KMS_KEY only one may be set",
        ),
        ({"TRIDENT_KEKS": "first:AAAA"}, "TRIDENT_KEKS: entry 1: the key first has 3 bytes"),
        ({"TRIDENT_KEKS_FILE": "/nonexistent/keks"}, "/nonexistent/keks cannot be read"),
    ],
)
@pytest.mark.usefixtures("no_stack")
def test_settings_without_keks_are_refused(
    environment: dict[str, str], fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, in one list with everything else that is missing."""
    monkeypatch.setenv("TRIDENT_HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(settings.SettingsError) as refused:
        settings.settings()
    assert fault in str(refused.value)
    assert "TRIDENT_DATABASE_URL: " in str(refused.value)


def test_who_is_told_of_no_keks_opens_no_key(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings are right; only the API, and a worker that sends mail, do not start so."""
    monkeypatch.setenv("TRIDENT_KEKS_FILE", "")
    key_ring.cache_clear()
    assert settings.settings().keks is None
    told = "TRIDENT_KEKS is not set, nor is TRIDENT_KEKS_FILE or TRIDENT_KMS_KEY"
    with pytest.raises(KeyRingError, match=told):
        key_ring()
    _fail_early()
    monkeypatch.setenv("TRIDENT_SMTP_URL", "smtp://127.0.0.1:25")
    monkeypatch.setenv("TRIDENT_MAIL_FROM", "no-reply@example.com")
    settings.settings.cache_clear()
    with pytest.raises(KeyRingError, match=told):
        _fail_early()
    with pytest.raises(KeyRingError, match=told):
        import_module("api.wsgi")


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The ARN of a key in a stand-in of AWS KMS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("kms")
        arn = client.create_key()["KeyMetadata"]["Arn"]
        client.create_alias(AliasName="alias/trident", TargetKeyId=arn)
        yield arn


def test_kms_wraps_and_unwraps(kms: str) -> None:
    """The KEK of an alias is named by its ARN; the place is part of it, and tells AWS nothing."""
    ring = ring_of(KekSource(kms_key="alias/trident"))
    wrapped = ring.wrap(b"k" * 32, PLACE)
    assert wrapped.kek == ring.current == kms
    assert ring.unwrap(wrapped, PLACE) == b"k" * 32
    with pytest.raises(TamperedError):
        ring.unwrap(wrapped, PLACE + b"x")


def test_kms_unwraps_what_an_older_key_of_it_has_wrapped(kms: str) -> None:
    """An alias that means another key wraps with that one, and the older one still unwraps."""
    wrapped = ring_of(KekSource(kms_key="alias/trident")).wrap(b"k" * 32, PLACE)
    newer = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    boto3.client("kms").update_alias(AliasName="alias/trident", TargetKeyId=newer)
    ring = ring_of(KekSource(kms_key="alias/trident"))
    assert ring.current == newer != wrapped.kek
    assert ring.unwrap(wrapped, PLACE) == b"k" * 32


def test_kms_that_refuses_is_a_sentence(kms: str) -> None:
    """A key that KMS does not know, or a KEK that was never in it, is a message, no traceback."""
    with pytest.raises(KeyRingError, match="AWS KMS does not describe_key"):
        ring_of(KekSource(kms_key="alias/other")).wrap(b"k" * 32, PLACE)
    with pytest.raises(UnknownKekError):
        ring_of(KekSource(kms_key=kms)).unwrap(Wrapped("first", b""), PLACE)
    lost = Wrapped(kms.replace("key/", "key/0"), b"x" * 64)
    with pytest.raises(UnknownKekError, match="key/0"):
        ring_of(KekSource(kms_key=kms)).unwrap(lost, PLACE)


def test_the_stack_has_a_ring(env: dict[str, str]) -> None:
    """The embedded stack made its KEK file, and the environment leads to it."""
    key_ring.cache_clear()
    assert key_ring().current.startswith("kek-")
    file = Path(env["TRIDENT_KEKS_FILE"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert "TRIDENT_KEKS" not in env
