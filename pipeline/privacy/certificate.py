"""The certificate of an erasure: what was erased, when and by whom, and where that is sealed.

It is signed with the key that signs tokens, as a JWS of a type of its own, so anybody can check it
against the published keys, and the installation against its log.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, text

from models.key_ring import KeyRing
from models.ledger import event_ledger
from models.operation import show_id
from models.sealed import TamperedError
from models.signing_key import SigningKeys
from pipeline import strict_json
from pipeline.privacy.data_keys import UnknownSubjectError
from pipeline.privacy.subjects import SubjectState, named, shown, state_of

ALGORITHM = "EdDSA"
ISSUER = "trident"
# Says in the header what it is, so that it never passes for a token.
TYPE = "erasure+jwt"
# What the event tells.
ERASED = "subject.erased"

EVENT = text("""
    SELECT o.id, o.accepted_at, o.body->>'action' AS action, o.body->>'target' AS target,
           b.height, encode(b.hash, 'hex') AS hash
      FROM operations o
      LEFT JOIN LATERAL (
           SELECT height, hash FROM audit_blocks
            WHERE tenant_id = :tenant AND ledger_id = :ledger
              AND from_position <= o.position AND to_position >= o.position LIMIT 1) b ON true
     WHERE o.tenant_id = :tenant AND o.ledger_id = :ledger AND o.position = :position
""")
# What a document has beside what is signed: the signed itself, and what the API calls it.
JWS, KIND = "jws", {"object": "erasure_certificate"}
# What may differ later: when it was signed, and the block, which audit seals a moment later.
SINCE = ("iat", "block")
# Retired keys too: what they signed while they were not stays signed.
KEY = text("SELECT public_key FROM signing_keys WHERE kid = :kid")


class Certificate(NamedTuple):
    """What it says, and the same signed."""

    says: dict[str, Any]
    jws: str


class BadCertificateError(Exception):
    """The certificate is not what this installation has signed, or its log says otherwise."""


def certify(
    connection: Connection, keys: SigningKeys, ring: KeyRing, tenant_id: int, subject: str
) -> Certificate | None:
    """The certificate as of now, or None of a subject that is not erased.

    Its block is null until audit has sealed the event. Raises UnknownSubjectError, SettingsError,
    and TamperedError where the log was changed.
    """
    state = state_of(connection, tenant_id, subject)
    if state.erased_position is None:
        return None
    says = _says(connection, tenant_id, state)
    kid, private_key = keys.signing(ring)
    return Certificate(
        says, jwt.encode(says, private_key, ALGORITHM, headers={"kid": kid, "typ": TYPE})
    )


def read(content: bytes) -> dict[str, Any]:
    """The document of a certificate, or the JWS alone as one; raises BadCertificateError."""
    content = content.strip()
    if not content.startswith(b"{"):
        return {JWS: content.decode("ascii", "replace")}
    try:
        document: dict[str, Any] = strict_json.loads(content)
    except strict_json.JsonError as error:
        raise BadCertificateError(f"The file holds no certificate: {error}") from None
    if not isinstance(document.get(JWS), str):
        raise BadCertificateError("The file holds no certificate: it has no `jws`.")
    return document


def check(connection: Connection, tenant_id: int, document: Mapping[str, Any]) -> dict[str, Any]:
    """What a certificate says, if its signature is ours, what can be read of it is what was signed,
    and the log agrees: each member of it. Raises BadCertificateError.
    """
    said = _verified(connection, document[JWS])
    signed = {**KIND, **said, JWS: document[JWS]}
    forged = [name for name in document if name not in signed or document[name] != signed[name]]
    if forged:
        raise BadCertificateError(f"This is not what was signed: {', '.join(forged)}.")
    if said.get("tenant") != tenant_id:
        raise BadCertificateError("The certificate is of another tenant.")
    try:
        now = _says(connection, tenant_id, state_of(connection, tenant_id, named(said["subject"])))
    except (UnknownSubjectError, TamperedError) as error:
        raise BadCertificateError(str(error)) from None
    wrong = [name for name in now if name not in SINCE and said.get(name) != now[name]]
    if wrong:
        raise BadCertificateError(f"The log says otherwise of: {', '.join(wrong)}.")
    if said["block"] is not None and said["block"] != now["block"]:
        raise BadCertificateError("The event is sealed in another block than the one it names.")
    return {**said, "block": now["block"]}


def _says(connection: Connection, tenant_id: int, state: SubjectState) -> dict[str, Any]:
    if state.erased_at is None or state.erased_position is None:
        raise TamperedError(f"{shown(state.subject)} is not erased here.")
    event = _event(connection, tenant_id, state.erased_position)
    if event is None or (event.pop("action"), event.pop("target")) != (ERASED, state.subject):
        raise TamperedError("The log has no event of this erasure where it should stand.")
    block = event.pop("block")
    return {
        "iss": ISSUER,
        "iat": int(state.now.timestamp()),
        "tenant": tenant_id,
        "subject": shown(state.subject),
        "erased_at": _iso(state.erased_at),
        "erased_by": state.erased_by,
        "event": event,
        "block": block,
    }


def _event(connection: Connection, tenant_id: int, position: int) -> dict[str, Any] | None:
    ledger = event_ledger(connection, tenant_id)
    assert ledger is not None, f"tenant {tenant_id} has no ledger of events"
    scope = {"tenant": tenant_id, "ledger": ledger.ledger_id, "position": position}
    row = connection.execute(EVENT, scope).one_or_none()
    if row is None:
        return None
    id_ = row.id if isinstance(row.id, UUID) else UUID(row.id)
    block = None if row.height is None else {"height": row.height, "hash": row.hash}
    return {
        "id": show_id(id_),
        "ledger": ledger.name,
        "position": position,
        "at": _iso(row.accepted_at),
        "action": row.action,
        "target": row.target,
        "block": block,
    }


def _verified(connection: Connection, jws: str) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(jws)
        if header.get("typ") != TYPE:
            raise BadCertificateError("It is no certificate of an erasure.")
        raw = connection.execute(KEY, {"kid": str(header.get("kid"))}).scalar_one_or_none()
        if raw is None:
            raise BadCertificateError("It was signed with a key that is not this installation's.")
        key = Ed25519PublicKey.from_public_bytes(bytes(raw))
        said: dict[str, Any] = jwt.decode(
            jws, key, [ALGORITHM], issuer=ISSUER, options={"verify_iat": False}
        )
        return said
    except jwt.PyJWTError as error:
        raise BadCertificateError(f"The signature is not ours: {error}.") from None


def _iso(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
