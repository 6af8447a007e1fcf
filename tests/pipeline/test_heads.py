"""Heads: the newest block of each ledger, kept outside the database, in a folder or in S3."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from sqlalchemy import text

from models.db import app_engine
from models.settings import settings
from pipeline import heads
from pipeline.audit import Head
from tests.bank import Bank, new_ledger


@pytest.fixture
def folder(env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Heads in a folder."""
    yield from _store(str(tmp_path / "heads"), monkeypatch)


@pytest.fixture
def bucket(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Heads in a bucket, behind a stand-in of S3."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="evidence")
        yield from _store("s3://evidence/trident", monkeypatch)


def _store(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TRIDENT_HEADS_URL", url)
    settings.cache_clear()
    heads.store.cache_clear()
    yield url
    heads.store.cache_clear()


def test_a_folder_keeps_the_newest_head(folder: str, bank: Bank) -> None:
    """After an audit run the folder holds the newest block, which is the database's own."""
    _is_kept(bank)


def test_a_bucket_keeps_the_newest_head(bucket: str, bank: Bank) -> None:
    """The same in S3, under the prefix that was given."""
    _is_kept(bank)
    (listed,) = boto3.client("s3").list_objects_v2(Bucket="evidence")["Contents"]
    assert listed["Key"] == f"trident/1-{bank.ledger.ledger_id}.json"


def test_a_ledger_without_blocks_has_no_head(folder: str, bank: Bank) -> None:
    """Nothing is kept of a ledger that was never sealed."""
    heads.keep([bank.ledger])
    assert heads.read_head(bank.ledger) is None


def test_a_head_never_goes_back(folder: str, bank: Bank) -> None:
    """A database that is behind what was kept (a restored backup) does not overwrite it."""
    bank.fund("a", 100)
    heads.keep([bank.ledger])
    ahead = b'{"height": 999, "last": 9999, "hash": "00"}'
    heads.store().put(f"1-{bank.ledger.ledger_id}.json", ahead)
    heads.keep([bank.ledger])
    assert heads.read_head(bank.ledger) == Head(999, 9999, b"\x00")


def test_keepers_take_turns(folder: str, bank: Bank) -> None:
    """A head that somebody else is keeping is left due, and kept when its turn has come."""
    bank.fund("a", 100)
    lock = {"lock": heads.HEADS_LOCK, "ledger": bank.ledger.ledger_id}
    with app_engine().begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock, :ledger)"), lock)
        assert heads.keep([bank.ledger]) == [bank.ledger]
    assert heads.keep([bank.ledger]) == []
    assert heads.read_head(bank.ledger) is not None


def test_one_call_keeps_the_heads_of_many_ledgers(folder: str, bank: Bank) -> None:
    """A tenant's ledgers are kept together, each under its own name."""
    banks = [bank, Bank(new_ledger()), Bank(new_ledger())]
    for amount, each in enumerate(banks, start=1):
        each.fund("a", amount)
    heads.keep([each.ledger for each in banks])
    assert [heads.read_head(each.ledger) for each in banks] == [newest(each) for each in banks]


def test_a_store_that_is_away_stops_nothing(
    folder: str, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that cannot be kept is logged; the ledger goes on, and the next run keeps a newer."""
    bank.fund("a", 100)

    def refuse(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(heads.Folder, "put", refuse)
        assert heads.keep([bank.ledger]) == [bank.ledger]
    assert heads.keep([bank.ledger]) == []


def newest(bank: Bank) -> Head:
    """The database's own newest block."""
    query = (
        "SELECT height, to_position, hash FROM audit_blocks"
        " WHERE ledger_id = :ledger ORDER BY height DESC LIMIT 1"
    )
    height, last, hash_ = bank.rows(query)[0]
    return Head(height, last, bytes(hash_))


def _is_kept(bank: Bank) -> None:
    for amount in (100, 50):
        bank.fund("a", amount)
        heads.keep([bank.ledger])
        assert heads.read_head(bank.ledger) == newest(bank)
