"""The member `personal` of an operation: sealed under its subject's key before it is stored.

What a client sends is {"subject": "customer-42", …}. What the log, and everything behind it, gets
is {"subject", "key": the key's version, "sealed": base64url}. It is sealed so that the same content
under the same idempotency key gives the same bytes, by which a repetition is known; and it is bound
to tenant, ledger, key and the place within the operation, so that a copy elsewhere does not open.
"""

import base64
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from models.sealed import TamperedError, aad, open_sealed, seal_same, unwritten
from pipeline.kinds.personals import PERSONAL
from pipeline.privacy.data_keys import DataKey
from pipeline.strict_json import canonical, loads

# Of canonical JSON: without it there is nothing personal in an operation, and nothing to do. It may
# stand there for another reason (a name in metadata); then it is looked for in vain.
MARK = '"personal":'
MARK_BYTES = MARK.encode()
# What a subject of the tenant's is called in the table of keys; people have `person:`.
PREFIX = "subject:"

Body = dict[str, Any]


class Place(NamedTuple):
    """An operation, or one that it holds: where in it, its kind, its members."""

    path: str
    kind: str
    body: Body

    @property
    def account(self) -> str:
        """The code of the account that it opens or changes, whose data it carries."""
        if self.kind == "open_account":
            return str(self.body["code"])
        return str(self.body["account"]) if self.kind == "update_account" else ""


class Origin(NamedTuple):
    """Where an operation belongs: what its sealed members are bound to."""

    tenant_id: int
    ledger_id: int
    key: str

    def aad(self, place: Place, version: int) -> bytes:
        """The associated data of one place."""
        row = f"{self.ledger_id}:{place.path}:{self.key}"
        return aad(self.tenant_id, "operations", "personal", row, version)


def places(kind: str, body: Body, path: str = "") -> Iterator[Place]:
    """The operation and those that it holds, as far as they carry personal data."""
    if PERSONAL in body:
        yield Place(path, kind, body)
    inner = {"operation": body.get("operation")}
    members = body.get("operations")
    inner |= {f"operations.{n}": one for n, one in enumerate(members or ())}
    for name, one in inner.items():
        if isinstance(one, dict):
            yield from places(str(one.get("kind")), one, f"{path}.{name}" if path else name)


def name_of(place: Place) -> str:
    """The subject of the place, as the table of keys has it."""
    return PREFIX + str(place.body[PERSONAL]["subject"])


def sealed(origin: Origin, kind: str, body: Body, keys: Mapping[str, DataKey]) -> Body:
    """The operation as it is stored; `keys` are those of its subjects."""
    body = deepcopy(body)
    for place in places(kind, body):
        data = dict(place.body[PERSONAL])
        shown = {"subject": data.pop("subject")}
        key = keys[name_of(place)]
        closed = seal_same(key.key, canonical(data), origin.aad(place, key.version))
        encoded = base64.urlsafe_b64encode(closed).decode()
        place.body[PERSONAL] = shown | {"key": key.version, "sealed": encoded}
    return body


def opened(origin: Origin, place: Place, key: DataKey) -> Body:
    """What was sealed at the place, with its subject; raises TamperedError."""
    stored = place.body[PERSONAL]
    closed = unwritten(stored.get("sealed"))
    if stored.get("key") != key.version:
        raise TamperedError("What was sealed names a key that its subject never had.")
    plain = open_sealed(key.key, closed, origin.aad(place, key.version))
    return {"subject": stored["subject"], **loads(plain)}


def masked(kind: str, body: Body) -> Body:
    """The operation as those see it who may not see personal data; `body` is changed."""
    for place in places(kind, body):
        place.body[PERSONAL] = {"subject": place.body[PERSONAL]["subject"], "sealed": True}
    return body
