"""Keys of subjects with AWS KMS: asked seldom, never behind a lock, and no key after an erasure."""

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from sqlalchemy import text

from models import key_ring
from models.db import owner_engine, tenant_writing
from models.keks import KekSource
from models.key_ring import KmsRing, ring_of
from pipeline.privacy.data_keys import DataKey, ErasedError, destroy, key_of, keys_of, make_missing
from pipeline.rewrap import COLUMNS, rewrap
from tests.privacy.test_data_keys import key, tenant

__all__ = ["tenant"]

SUBJECTS = [f"subject:{number}" for number in range(20)]
# Nobody else has a row of this tenant's locked: then it could not be updated at once.
FREE = text(
    "SELECT count(*) FROM (SELECT FROM data_keys WHERE tenant_id = :tenant FOR UPDATE NOWAIT) l"
)


class Kms:
    """A stand-in of AWS KMS, and what was asked of it."""

    def __init__(self, ring: KmsRing) -> None:
        self.ring = ring
        self.asked: list[str] = []
        ring._client.meta.events.register("before-call.kms", self._count)

    def _count(self, model: Any, **_: Any) -> None:
        self.asked.append(model.name)

    def another(self) -> "Kms":
        """The ring of another process, which remembers nothing."""
        return new_kms(self.ring.current)


def new_kms(name: str) -> Kms:
    """A process that has this key of KMS."""
    ring = ring_of(KekSource(kms_key=name))
    assert isinstance(ring, KmsRing)
    return Kms(ring)


@pytest.fixture
def kms(tenant: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kms]:
    """With a key of its own. What it has wrapped is destroyed: nobody could unwrap it later."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield new_kms(boto3.client("kms").create_key()["KeyMetadata"]["KeyId"])
    with tenant_writing(tenant) as connection:
        for subject in connection.execute(text("SELECT subject FROM data_keys")).scalars().all():
            destroy(connection, tenant, subject)


def test_kms_is_asked_once_for_a_key(
    kms: Kms, tenant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is used; and again after a minute."""
    first = key(tenant, kms.ring, "subject:42")
    for _ in range(3):
        assert key(tenant, kms.ring, "subject:42") == first
    assert kms.asked == ["DescribeKey", "Encrypt"]
    other = kms.another()
    for _ in range(3):
        assert key(tenant, other.ring, "subject:42") == first
    assert other.asked.count("Decrypt") == 1
    monkeypatch.setattr(key_ring, "REMEMBER_S", 0.0)
    assert key(tenant, other.ring, "subject:42") == first
    assert other.asked.count("Decrypt") == 2


def test_no_more_keys_are_remembered_than_fit(
    kms: Kms, tenant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are forgotten first."""
    monkeypatch.setattr(key_ring, "REMEMBERED_MAX", 5)
    with tenant_writing(tenant) as connection:
        make_missing(connection, kms.ring, tenant, SUBJECTS)
        keys_of(connection, kms.ring, tenant, SUBJECTS)
    assert len(kms.ring._memory._kept) == 5


def test_a_key_that_is_remembered_opens_nothing_once_it_is_destroyed(kms: Kms, tenant: int) -> None:
    """At once: the row is looked at each time."""
    key(tenant, kms.ring, "subject:42")
    key(tenant, kms.ring, "subject:43")
    with tenant_writing(tenant) as connection:
        destroy(connection, tenant, "subject:42")
    with pytest.raises(ErasedError):
        key(tenant, kms.ring, "subject:42")
    assert len(key(tenant, kms.ring, "subject:43")) == 32


def test_kms_is_never_waited_for_behind_a_lock(kms: Kms, tenant: int) -> None:
    """Neither where keys are made, found or held, nor where they are wrapped anew."""
    other = new_kms(boto3.client("kms").create_key()["KeyMetadata"]["KeyId"])
    third = other.another()
    looked, turn = 0, threading.Lock()
    with owner_engine() as engine:

        def look(**_: Any) -> None:
            nonlocal looked
            with turn, engine.connect() as connection:
                looked += 1
                connection.execute(FREE, {"tenant": tenant})

        for one in (kms, other, third):
            one.ring._client.meta.events.register("before-call.kms", look)
        with tenant_writing(tenant) as connection:
            make_missing(connection, kms.ring, tenant, SUBJECTS)
        before = {name: key(tenant, kms.ring, name) for name in SUBJECTS}
        (column,) = (one for one in COLUMNS if one.table == "data_keys")
        rewrap(engine, other.ring, column)
        with tenant_writing(tenant) as connection:
            found = keys_of(connection, third.ring, tenant, SUBJECTS, hold=True)
    found_keys = {name: one.key for name, one in found.items() if isinstance(one, DataKey)}
    assert found_keys == before
    assert looked >= 3 * len(SUBJECTS)


def test_nothing_is_asked_behind_a_key_that_was_made(kms: Kms, tenant: int) -> None:
    """Who names the same new subject waits for the transaction: what was known is opened before."""
    with tenant_writing(tenant) as connection:
        make_missing(connection, kms.ring, tenant, SUBJECTS)
    other = kms.another()
    with tenant_writing(tenant) as connection:
        make_missing(connection, other.ring, tenant, [*SUBJECTS, "subject:new"])
        made = list(other.asked)
        keys_of(connection, other.ring, tenant, [*SUBJECTS, "subject:new"], hold=True)
    assert made == ["Decrypt"] * len(SUBJECTS) + ["DescribeKey", "Encrypt"]
    assert other.asked == made


def test_what_was_destroyed_while_it_was_wrapped_anew_stays_so(kms: Kms, tenant: int) -> None:
    """And one that was wrapped anew while it was asked for is the same key."""
    before = key(tenant, kms.ring, "subject:kept")
    key(tenant, kms.ring, "subject:gone")
    other, third = (
        new_kms(boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]) for _ in range(2)
    )

    def destroy_one(**_: Any) -> None:
        with tenant_writing(tenant) as connection:
            destroy(connection, tenant, "subject:gone")

    (column,) = (one for one in COLUMNS if one.table == "data_keys")
    other.ring._client.meta.events.register_first("before-call.kms.Encrypt", destroy_one)
    with owner_engine() as engine:
        rewrap(engine, other.ring, column)

        def rewrap_again(**_: Any) -> None:
            rewrap(engine, kms.ring, column)

        third.ring._client.meta.events.register_first("before-call.kms.Decrypt", rewrap_again)
        with tenant_writing(tenant) as connection:
            assert key_of(connection, third.ring, tenant, "subject:kept").key == before
    with pytest.raises(ErasedError):
        key(tenant, kms.ring, "subject:gone")
