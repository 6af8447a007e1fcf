"""Where an export goes that is not printed: a folder, or S3, whole or not at all."""

import datetime as dt
import hashlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cli.asking import Unfulfillable

S3 = "s3://"
# Of a reference's hash: two whose other characters are replaced alike stay apart.
DIGEST_CHARACTERS = 8
# An S3 that answers nothing for so long is away.
S3_TIMEOUT_S = 10


def place_of(to: str, ref: str) -> str:
    """Where the export of a subject goes below a folder or a prefix."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", ref)
    digest = hashlib.sha256(ref.encode()).hexdigest()[:DIGEST_CHARACTERS]
    at = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{safe}-{digest}-{at}.json"
    if to.startswith(S3):
        bucket, path = urlsplit(to).netloc, to.removeprefix(S3).partition("/")[2]
        if not bucket:
            raise Unfulfillable(f"{to}: name a bucket, as in s3://bucket/prefix/.")
        return f"{S3}{bucket}/{path}{'/' if path and path[-1] != '/' else ''}{name}"
    if not Path(to).is_dir():
        raise Unfulfillable(f"{to} is no folder. Make it first, for its owner only.")
    return str(Path(to).resolve() / name)


def write(place: str, pieces: Iterator[bytes]) -> None:
    """Write it there; raises Unfulfillable, and what the pieces raise."""
    if place.startswith(S3):
        _upload(place, pieces)
    else:
        _write(Path(place), pieces)


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    """For its owner alone, beside first: half an export looks like one of somebody with less."""
    beside = path.with_suffix(".part")
    try:
        with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise Unfulfillable(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        beside.unlink(missing_ok=True)


def _upload(place: str, pieces: Iterator[bytes]) -> None:
    """In parts, which S3 makes one object of when all are there, encrypted where it lies."""
    # Imported here: 0.3 s and 30 MB that only an export to S3 pays.
    import boto3  # noqa: PLC0415
    from boto3.exceptions import Boto3Error  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    bucket, _, key = place.removeprefix(S3).partition("/")
    waits = Config(connect_timeout=S3_TIMEOUT_S, read_timeout=S3_TIMEOUT_S)
    try:
        client = boto3.client("s3", config=waits)
        encrypted = {"ServerSideEncryption": "AES256", "ContentType": "application/json"}
        client.upload_fileobj(_Reader(pieces), bucket, key, ExtraArgs=encrypted)
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise Unfulfillable(f"{place} cannot be written: {error}") from None


class _Reader(io.RawIOBase):
    """Pieces as a file: what was not asked for yet is kept."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end alone."""
        found = [self._left]
        many = len(self._left)
        while size < 0 or many < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            found.append(piece)
            many += len(piece)
        whole = b"".join(found)
        cut = len(whole) if size < 0 else size
        self._left = whole[cut:]
        return whole[:cut]
