"""The newest block of each ledger, kept outside the database.

Blocks are chained, so one remembered head is enough: whoever rewrites or cuts the chain in the
database cannot make it end in a head that stands elsewhere. TRIDENT_HEADS_URL says where: a folder
(the default, `$TRIDENT_HOME/heads`), or `s3://bucket/prefix`, which belongs under object lock.
"""

import json
import os
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import structlog

from models.db import tenant_writing
from models.ledger import LedgerRef
from models.settings import settings
from pipeline import arrays
from pipeline.audit import Head
from pipeline.audit import read_heads as block_heads

# Keepers of a ledger's head take turns, on whichever machine they are. 0 to 5 are accept's and the
# stages' (pipeline/stage.py). No row is locked meanwhile.
HEADS_LOCK = 6
# Postgres ends a transaction that is idle for 15 s (models/db.py): whose turn has not come by then
# waits for the next one.
TURN_S = 5.0

TAKE_TURNS = """
SELECT ledger FROM unnest(%(ledgers)s::integer[]) ledger
 WHERE pg_try_advisory_xact_lock(%(lock)s, ledger)
"""
# An S3 that takes longer is away: the ledger's next block brings a newer head, and a bell has 30 s
# in all.
S3_TIMEOUT_S = 3

log = structlog.get_logger("trident.heads")


class Store(Protocol):
    """Where heads are kept, by name."""

    def get(self, name: str) -> bytes | None:
        """What is kept under the name."""

    def put(self, name: str, data: bytes) -> None:
        """Keep it, replacing what was there, whole or not at all."""


class Folder:
    """Heads as files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> bytes | None:
        """The file's bytes."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes) -> None:
        """Written beside, synced, then renamed over: an older head or this one, never half of it.

        The folder is not synced: after a power cut the older head may be back, which is as true.
        """
        beside = self._path / f"{name}.{os.getpid()}"
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path / name)


class Bucket:
    """Heads as objects in S3; credentials as boto3 finds them."""

    def __init__(self, bucket: str, prefix: str) -> None:
        # Imported here: 0.3 s and 30 MB that only installations with S3 pay.
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        waits = Config(
            connect_timeout=S3_TIMEOUT_S,
            read_timeout=S3_TIMEOUT_S,
            retries={"total_max_attempts": 1},
        )
        self._client: Any = boto3.client("s3", config=waits)
        self._bucket = bucket
        self._prefix = prefix

    def get(self, name: str) -> bytes | None:
        """The object's bytes."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except self._client.exceptions.NoSuchKey:
            return None
        body: bytes = answer["Body"].read()
        return body

    def put(self, name: str, data: bytes) -> None:
        """One PUT, which S3 makes visible whole."""
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)


@lru_cache
def store() -> Store:
    """The store that TRIDENT_HEADS_URL names."""
    url = settings().heads_url
    if url.startswith("s3://"):
        parts = urlsplit(url)
        prefix = parts.path.lstrip("/")
        return Bucket(parts.netloc, f"{prefix}/" if prefix and prefix[-1] != "/" else prefix)
    return Folder(Path(url.removeprefix("file://")))


def read_head(ledger: LedgerRef) -> Head | None:
    """The head that is kept for the ledger."""
    data = store().get(_name(ledger))
    if data is None:
        return None
    kept = json.loads(data)
    return Head(kept["height"], kept["last"], bytes.fromhex(kept["hash"]))


def keep(ledgers: Sequence[LedgerRef]) -> list[LedgerRef]:
    """Keep the newest heads of a tenant's ledgers, after the commits that made them.

    Gives back the ledgers whose turn it was not: somebody else is at them, the time was up, or a
    fault, which is logged. They are still to be kept.
    """
    tenant_id = ledgers[0].tenant_id
    waiting = {ledger.ledger_id: ledger for ledger in ledgers}
    turn_ends = time.monotonic() + TURN_S
    try:
        with tenant_writing(tenant_id) as connection:
            cursor = connection.connection.cursor()
            asked = {"lock": HEADS_LOCK, "ledgers": arrays.integers(waiting)}
            cursor.execute(TAKE_TURNS, asked)
            mine = [row[0] for row in cursor.fetchall()]
            for ledger_id, head in block_heads(cursor, tenant_id, mine).items():
                if time.monotonic() > turn_ends:
                    break
                _keep(waiting[ledger_id], head)
                del waiting[ledger_id]
    except Exception as error:  # noqa: BLE001 - Postgres, S3 and files fail in many ways
        log.error("heads_not_kept", tenant=tenant_id, ledgers=len(waiting), error=str(error))
    return list(waiting.values())


def _keep(ledger: LedgerRef, head: Head) -> None:
    """Never backwards: what is kept may be ahead of a database that was restored."""
    kept = read_head(ledger)
    if head.height > (kept.height if kept else 0):
        data = {"height": head.height, "last": head.last, "hash": head.hash.hex()}
        store().put(_name(ledger), json.dumps(data).encode())


def _name(ledger: LedgerRef) -> str:
    return f"{ledger.tenant_id}-{ledger.ledger_id}.json"
