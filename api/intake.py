"""What a request asks to be put into a log: its key, its body, its kind, and whether it may."""

from typing import Any, NamedTuple

from flask import request
from marshmallow import ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from api.auth import demand
from api.errors import Problem, invalid
from api.state import state
from api.tokens import Principal
from pipeline.idempotency import RESERVED, BadKey, check_key
from pipeline.kinds import OFFERED
from pipeline.permissions import action_of
from pipeline.receipt import Submission
from pipeline.strict_json import JsonError, canonical, loads

# The largest operation is a journal of 1,000 legs with codes of 128 characters: 230 kB.
SINGLE_MAX_BYTES = 1024 * 1024
# 5,000 transfers are about 1.5 MB; 8 MiB leave room for metadata in all of them.
BULK_MAX_BYTES = 8 * 1024 * 1024
ITEMS_MAX = 5_000

JSON = "application/json"
NDJSON = "application/x-ndjson"


class Read(NamedTuple):
    """A submission, and its members as they will be shown."""

    submission: Submission
    body: dict[str, Any]


def header_key() -> str:
    """The request's idempotency key; raises Problem.

    `"k"` in quotes (the IETF draft) and bare `k` are the same key. The server joins two headers
    with a comma, so a key that holds one must be quoted.
    """
    raw = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if raw is None:
        raise Problem(
            "idempotency_key_missing",
            "Send the header Idempotency-Key with a text of your own that names this operation,"
            " such as an order number; the same key never executes twice.",
            param="Idempotency-Key",
        )
    return checked_key(_unquoted(raw.strip()), "Idempotency-Key")


def checked_key(value: Any, param: str) -> str:
    """The key, if a client may use it; raises Problem."""
    try:
        key = check_key(value)
    except BadKey as error:
        raise Problem("idempotency_key_invalid", str(error), param=param) from None
    if key.startswith(RESERVED):
        raise Problem("idempotency_key_reserved", f"Keys do not begin with {RESERVED}", param=param)
    return key


def json_body(most: int = SINGLE_MAX_BYTES) -> Any:
    """The request's JSON body, strictly read; raises Problem."""
    if request.mimetype != JSON:
        raise _unsupported(JSON)
    return _parsed(raw_body(most))


def optional_json_body() -> Any:
    """The request's JSON body, or {} where there is none; raises Problem."""
    raw = raw_body(SINGLE_MAX_BYTES)
    if raw and request.mimetype != JSON:
        raise _unsupported(JSON)
    return _parsed(raw) if raw else {}


def items_body() -> list[Any]:
    """The items of a bulk request: a JSON array, or one JSON document a line; raises Problem."""
    if request.mimetype == NDJSON:
        lines = raw_body(BULK_MAX_BYTES).split(b"\n")
        if len(lines) > 2 * ITEMS_MAX:
            raise _too_many()
        items = [_parsed(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    elif request.mimetype == JSON:
        items = json_body(BULK_MAX_BYTES)
    else:
        raise _unsupported(f"{JSON} or {NDJSON}")
    return checked_items(items)


def checked_items(items: Any) -> list[Any]:
    """The items, if they are some and not too many; raises Problem."""
    if not isinstance(items, list) or not items:
        raise Problem("invalid_request", "Send a JSON array of at least one operation.")
    if len(items) > ITEMS_MAX:
        raise _too_many()
    return items


def read(who: Principal, key: str, members: Any) -> Read:
    """One operation as a client sent it, its kind among its members; raises Problem."""
    if not isinstance(members, dict):
        raise Problem("invalid_request", "An operation is a JSON object.")
    name = members.pop("kind", None)
    if not isinstance(name, str) or name not in OFFERED:
        raise Problem(
            "unknown_kind", f"`kind` is one of {', '.join(sorted(OFFERED))}.", param="kind"
        )
    return read_kind(who, key, name, members)


def read_kind(who: Principal, key: str, name: str, members: Any) -> Read:
    """One operation of a known kind; raises Problem."""
    demand(who, action_of(name))
    try:
        body = OFFERED[name].schema.load(members)
    except ValidationError as error:
        raise invalid(error) from None
    tenancy = state().tenancy
    tenancy.check_currencies(who.tenant_id, name, body)
    principal = tenancy.recorded(who.tenant_id, who.stored)
    return Read(Submission(key, name, canonical(body), principal), body)


def read_item(who: Principal, item: Any, kind: str | None = None) -> Read:
    """One item of a bulk request, with its key among its members; raises Problem."""
    if not isinstance(item, dict):
        raise Problem("invalid_request", "An operation is a JSON object.")
    if "idempotency_key" not in item:
        raise Problem(
            "idempotency_key_missing",
            "Each item has an idempotency_key of its own.",
            param="idempotency_key",
        )
    key = checked_key(item.pop("idempotency_key"), "idempotency_key")
    return read(who, key, item) if kind is None else read_kind(who, key, kind, item)


def _unquoted(raw: str) -> str:
    """A structured field's string (RFC 8941 section 3.3.3) as text; anything else as it is."""
    if raw.startswith('"'):
        inner = raw[1:-1].replace("\\\\", "\0").replace('\\"', "\1")
        if len(raw) < len('""') or not raw.endswith('"') or '"' in inner or "\\" in inner:
            raise Problem(
                "idempotency_key_invalid",
                'A quoted key ends in a quote; quotes and backslashes in it are \\" and \\\\. Send'
                " one Idempotency-Key header.",
                param="Idempotency-Key",
            )
        return inner.replace("\0", "\\").replace("\1", '"')
    if "," in raw:
        raise Problem(
            "idempotency_key_invalid",
            "There are two Idempotency-Key headers, or a key with a comma: put it in quotes.",
            param="Idempotency-Key",
        )
    return raw


def raw_body(most: int) -> bytes:
    """The request's body of up to so many bytes; raises Problem."""
    # A body that comes in chunks is cut at the bound in silence: one byte more shows that it was.
    request.max_content_length = most + 1
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raw = None
    if raw is None or len(raw) > most:
        raise Problem("body_too_large", f"This address takes bodies of up to {most} bytes.")
    return raw


def _parsed(raw: bytes, line: int | None = None) -> Any:
    try:
        return loads(raw)
    except JsonError as error:
        where = "" if line is None else f"Line {line}: "
        raise Problem("malformed_body", f"{where}{error}") from None


def _unsupported(wanted: str) -> Problem:
    return Problem("unsupported_media_type", f"Send the header `Content-Type: {wanted}`.")


def _too_many() -> Problem:
    return Problem("too_many_items", f"Send at most {ITEMS_MAX} items in one request.")
