"""Seal what is personal in submissions, before anything of them is stored.

    nothing personal ── the submission as it is
    sealed ──────────── subjects have keys, and a mention each; committed before the operation is
    withheld ────────── a subject is erased, or restricted and this is no repetition

The operation is stored in another transaction. An erasure that comes between the two destroys the
key of what is stored then: it is as if it had come behind it.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from models.key_ring import KeyRing
from models.ledger import LedgerRef
from models.operation import show_id
from models.sealed import KEY_BYTES
from pipeline.accept import key_hash
from pipeline.privacy import data_keys
from pipeline.privacy.data_keys import DataKey
from pipeline.privacy.personal import MARK_BYTES, Origin, Place, name_of, places, sealed
from pipeline.receipt import Submission
from pipeline.strict_json import canonical

ERASED, RESTRICTED = "subject_erased", "subject_restricted"

RESTRICTED_ONES = text("""
    SELECT subject FROM subjects
     WHERE tenant_id = :tenant AND subject = ANY(:subjects) AND restricted_at IS NOT NULL
""")
MENTION = text("""
    INSERT INTO subject_mentions (tenant_id, subject, ledger_id, key_hash, account)
    SELECT :tenant, subject, :ledger, key_hash, account
      FROM unnest(:subjects, CAST(:hashes AS uuid[]), :accounts) AS new (subject, key_hash, account)
     ORDER BY subject, key_hash, account
    ON CONFLICT DO NOTHING
""")
STORED = text("""
    SELECT o.id FROM idempotency_keys k JOIN operations o USING (tenant_id, ledger_id, position)
     WHERE k.tenant_id = :tenant AND k.ledger_id = :ledger AND k.key_hash = CAST(:hash AS uuid)
""")


class Withheld(NamedTuple):
    """Why a submission is not stored: a code, and what to say. `operation`: what its key made."""

    code: str
    detail: str
    operation: str | None


Sealed = Submission | Withheld


def is_marked(submission: Submission) -> bool:
    """Whether there may be something personal in it."""
    return MARK_BYTES in submission.body


def seal_all(
    connection: Connection,
    ring: KeyRing,
    ledger: LedgerRef,
    submissions: Sequence[Submission],
    *,
    trial: bool = False,
) -> list[Sealed]:
    """Each submission sealed, or why not, in a writing transaction of the tenant.

    Call it for those that are marked alone: it costs a few statements. `trial` stores nothing and
    may read only. Raises the errors of the key ring, and TamperedError about the keys themselves.
    """
    found = [(one, list(places(one.kind, orjson.loads(one.body)))) for one in submissions]
    subjects = {name_of(place) for _, named in found for place in named}
    if not subjects:
        return list(submissions)
    keys = _keys(connection, ring, ledger.tenant_id, subjects, trial=trial)
    named = {"tenant": ledger.tenant_id, "subjects": list(subjects)}
    restricted = set(connection.execute(RESTRICTED_ONES, named).scalars())
    made: list[Sealed] = []
    mentions: set[tuple[str, str, str]] = set()
    for submission, own in found:
        withheld = _withheld(connection, ledger, submission, own, keys, restricted)
        if withheld is None:
            mentions |= {
                (name_of(one), key_hash(submission.key), one.account)
                for one in own
                # Who is restricted is named by nobody anew: a repetition has its mention.
                if name_of(one) not in restricted
            }
        made.append(withheld or _sealed(ledger, submission, keys))
    if mentions and not trial:
        _mention(connection, ledger, mentions)
    return made


def _keys(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    subjects: Collection[str],
    *,
    trial: bool,
) -> dict[str, DataKey | None]:
    """The keys; None of those that were erased."""
    if not trial:
        data_keys.make_missing(connection, ring, tenant_id, subjects)
    found = data_keys.keys_of(connection, ring, tenant_id, subjects, hold=not trial)
    # What is only tried is sealed under something, and nothing that is stored looks like it.
    unknown = DataKey(secrets.token_bytes(KEY_BYTES), 1)
    got = {name: found.get(name, unknown) for name in subjects}
    return {name: key if isinstance(key, DataKey) else None for name, key in got.items()}


def _withheld(
    connection: Connection,
    ledger: LedgerRef,
    submission: Submission,
    named: Sequence[Place],
    keys: dict[str, DataKey | None],
    restricted: Collection[str],
) -> Withheld | None:
    for place in named:
        subject, shown = name_of(place), place.body["personal"]["subject"]
        if keys[subject] is not None and subject not in restricted:
            continue
        stored = _stored(connection, ledger, submission.key)
        if keys[subject] is None:
            known = (
                " Its key made an operation before; whether the content is the same cannot be said"
                " any more."
                if stored
                else " Nothing was stored."
            )
            return Withheld(ERASED, f"The subject {shown} was erased for good.{known}", stored)
        if stored is None:
            return Withheld(
                RESTRICTED,
                f"The use of the data of {shown} is restricted. Nothing was stored; when the"
                " restriction is lifted, the same request can be sent again.",
                None,
            )
    return None


def _stored(connection: Connection, ledger: LedgerRef, key: str) -> str | None:
    """The id of the operation that the key has made."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "hash": key_hash(key)}
    found = connection.execute(STORED, scope).scalar_one_or_none()
    return None if found is None else show_id(found if isinstance(found, UUID) else UUID(found))


def _sealed(
    ledger: LedgerRef, submission: Submission, keys: dict[str, DataKey | None]
) -> Submission:
    origin = Origin(ledger.tenant_id, ledger.ledger_id, submission.key)
    held = {name: key for name, key in keys.items() if key is not None}
    body = sealed(origin, submission.kind, orjson.loads(submission.body), held)
    return replace(submission, body=canonical(body))


def _mention(
    connection: Connection, ledger: LedgerRef, mentions: Collection[tuple[str, str, str]]
) -> None:
    subjects, hashes, accounts = zip(*mentions, strict=True)
    connection.execute(
        MENTION,
        {
            "tenant": ledger.tenant_id,
            "ledger": ledger.ledger_id,
            "subjects": list(subjects),
            "hashes": list(hashes),
            "accounts": list(accounts),
        },
    )
