"""`trident subjects export --to`: a file in a folder, an object in S3; whole, or not there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cli import exporting
from cli.exporting import S3, place_of
from models.sealed import TamperedError
from tests.bank import Bank
from tests.cli.conftest import Trident
from tests.cli.test_personal_files import CANARY
from tests.cli.test_subjects import subject

__all__ = ["subject"]

BUCKET = "exports"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stand-in of S3, with a bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


def told(trident: Trident) -> dict[str, Any]:
    """The detail of the newest event of an export."""
    listed = trident("events", "--action", "subject.exported", "--format", "json")
    return dict(json.loads(json.loads(listed.stdout)[0]["detail"]))


def test_a_file_for_its_owner_alone(trident: Trident, subject: str, tmp_path: Path) -> None:
    """Its name is printed and stands in the event; nothing else is left in the folder."""
    done = trident("subjects", "export", subject, "--to", tmp_path)
    assert done.exit_code == 0
    file = Path(done.stdout.strip())
    assert CANARY not in done.stdout
    assert json.loads(file.read_text())["operations"][0]["personal"]["name"] == CANARY
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.glob("*.part")) == []
    assert told(trident) == {"to": str(file)}


def test_an_object_in_s3(trident: Trident, subject: str, s3: Any) -> None:
    """Encrypted where it lies; the event says where."""
    done = trident("subjects", "export", subject, "--to", f"s3://{BUCKET}/people")
    assert done.exit_code == 0, done.stderr
    place = done.stdout.strip()
    assert place.startswith(f"s3://{BUCKET}/people/{subject}-")
    found = s3.get_object(Bucket=BUCKET, Key=place.removeprefix(f"s3://{BUCKET}/"))
    assert found["ServerSideEncryption"] == "AES256"
    assert json.loads(found["Body"].read())["operations"][0]["personal"]["name"] == CANARY
    assert told(trident) == {"to": place}


def test_an_export_of_many_parts(s3: Any, tmp_path: Path) -> None:
    """Larger than S3 takes at once: the same bytes, in one object."""
    pieces = [bytes([number % 256]) * 100_003 for number in range(200)]
    exporting.write(f"s3://{BUCKET}/large", iter(pieces))
    assert s3.get_object(Bucket=BUCKET, Key="large")["Body"].read() == b"".join(pieces)


def test_half_an_export_is_none(s3: Any, tmp_path: Path) -> None:
    """Whatever breaks while it is read, nothing is there afterwards."""

    def breaks() -> Iterator[bytes]:
        yield b"x" * 10_000_000
        yield b"x" * 10_000_000
        raise TamperedError

    for place in (str(tmp_path / "half.json"), f"s3://{BUCKET}/half"):
        with pytest.raises(TamperedError):
            exporting.write(place, breaks())
    assert list(tmp_path.iterdir()) == []
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_places_that_there_are_not(trident: Trident, opened: Bank, subject: str, s3: Any) -> None:
    """A sentence, and status 2."""
    for place, says in (
        ("nowhere", "is no folder"),
        (S3, "name a bucket"),
        ("s3://other/", "cannot be written"),
    ):
        done = trident("subjects", "export", subject, "--to", place)
        assert (done.exit_code, done.stdout) == (2, ""), place
        assert says in done.stderr


def test_no_reference_leads_elsewhere(tmp_path: Path) -> None:
    """Each is one name in the folder, and another one than that of a reference like it."""
    refs = ("../../etc", "a/b", "a:b", "a-b", "x" * 128, "a\n", "ä")
    places = {place_of(str(tmp_path), ref).partition("Z")[0][:-16] for ref in refs}
    assert len(places) == len(refs)
    assert {Path(place_of(str(tmp_path), ref)).parent for ref in refs} == {tmp_path.resolve()}
