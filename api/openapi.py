"""What routes say in the OpenAPI document that flask-smorest cannot see by itself.

Operations are parsed once, by hand, so the routes say here which body they take. `route` gives the
keyword arguments of `Blueprint.doc`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from api.errors import PROBLEM_JSON
from api.intake import ITEMS_MAX, JSON, NDJSON
from api.problems import PROBLEMS
from pipeline.kinds import OFFERED
from pipeline.permissions import SUBMIT, TABLE

# What any request may be answered with, whatever its route, and one that takes a token beside that.
ANYBODY = ("rate_limited", "internal_error")
ALWAYS = ("token_missing", "token_invalid", "forbidden", *ANYBODY, "database_unavailable")
# What those may be beside it that open or seal what is personal.
SEALED = ("personal_tampered", "keys_unavailable")

IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": True,
    "description": "A text of yours that names this operation: 1 to 255 printable ASCII characters."
    ' `"k"` in quotes and bare `k` are the same key; one with a comma must be quoted.',
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "order-8123",
}
PREFER = {
    "in": "header",
    "name": "Prefer",
    "description": "`wait=N`: answer when the operation is final, at most N (up to 30) seconds"
    " later. `Preference-Applied` in the answer says how long was granted.",
    "schema": {"type": "string"},
    "example": "wait=5",
}
LEDGER = {
    "in": "path",
    "name": "ledger",
    "description": "The ledger's name.",
    "example": "main",
}
CODE = {
    "in": "path",
    "name": "code",
    "description": "The account's code, as it is or percent-encoded.",
    "example": "customers:42",
}
OPERATION_ID = {
    "in": "path",
    "name": "operation_id",
    "description": "The operation's id.",
    "example": "op_00000000g0r008000001ab2c3d",
}

ACCOUNT_OR_BULK = {
    "oneOf": [{"$ref": "#/components/schemas/Account"}, {"$ref": "#/components/schemas/Bulk"}]
}

HEADERS = {
    "Location": "Where the operation is.",
    "Idempotent-Replayed": "`true`: this request had been made before; nothing was executed now.",
    "Preference-Applied": "How long was waited for at most.",
}


def in_ledger(*parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters of an address within a ledger."""
    return [dict(parameter) for parameter in (LEDGER, *parameters)]


def route(
    answers: Mapping[int, tuple[str | Mapping[str, Any], str]],
    *,
    body: Mapping[str, Any] | None = None,
    headers: Iterable[Mapping[str, Any]] = (),
    problems: Iterable[str] = (),
    open_to_all: bool = False,
    cached: bool = False,
    action: str = "",
) -> dict[str, Any]:
    """A route's documentation: `answers` are (component or schema, description) by status.

    One that is `cached` answers 304, without a body, to who has it already.

    `action` is what a request must be permitted, unless the route is open to all.
    """
    assert open_to_all or action == SUBMIT or action in TABLE, f"{action!r} is no permission"
    of_operation = any(header is IDEMPOTENCY_KEY for header in headers)
    responses: dict[str, Any] = {
        str(status): {
            "description": description,
            "content": {JSON: {"schema": component}},
            **(_headers() if of_operation else {}),
        }
        for status, (component, description) in answers.items()
    }
    if cached:
        responses["304"] = {"description": "It is as it was (`If-None-Match`)."}
    every = [*problems, *(ANYBODY if open_to_all else ALWAYS)]
    for status in sorted({PROBLEMS[code].status for code in every}):
        codes = [code for code in every if PROBLEMS[code].status == status]
        responses[str(status)] = {
            "description": " ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
            "content": {PROBLEM_JSON: {"schema": "Problem"}},
        }
    said: dict[str, Any] = {"responses": responses, "x-problems": every}
    if action:
        said["x-permission"] = action
    if headers:
        said["parameters"] = [dict(header) for header in headers]
    if body is not None:
        said["requestBody"] = body
    if open_to_all:
        said["security"] = []
    return said


def json_body(component: str, example: Any, *, required: bool = True) -> dict[str, Any]:
    """A JSON body of one component."""
    content = {JSON: {"schema": component, "example": example}}
    return {"required": required, "content": content}


def kind_body() -> dict[str, Any]:
    """A JSON body of any kind of operation."""
    examples = {name: {"value": kind.example} for name, kind in OFFERED.items()}
    return {"required": True, "content": {JSON: {"schema": "Submission", "examples": examples}}}


def bulk_body() -> dict[str, Any]:
    """An array of operations of any kind, each with its key, or the same as NDJSON."""
    item = {"$ref": "#/components/schemas/Item"}
    array = {"type": "array", "items": item, "minItems": 1, "maxItems": ITEMS_MAX}
    example = [{"idempotency_key": "order-8123", **OFFERED["transfer"].example}]
    lines = {"schema": {"type": "string", "description": "One operation a line."}}
    return {
        "required": True,
        "content": {JSON: {"schema": array, "example": example}, NDJSON: lines},
    }


def dry_run_body() -> dict[str, Any]:
    """One operation of any kind, an array of them, or the same as NDJSON."""
    one = {"$ref": "#/components/schemas/Submission"}
    keyed = {
        "allOf": [
            one,
            {"type": "object", "properties": {"idempotency_key": IDEMPOTENCY_KEY["schema"]}},
        ]
    }
    many = {"type": "array", "items": keyed, "minItems": 1, "maxItems": ITEMS_MAX}
    lines = {"schema": {"type": "string", "description": "One operation a line."}}
    example = OFFERED["transfer"].example
    return {
        "required": True,
        "content": {
            JSON: {"schema": {"oneOf": [one, many]}, "example": example},
            NDJSON: lines,
        },
    }


def new_accounts_body() -> dict[str, Any]:
    """One account, or many of them, each with its key."""
    keyed = {
        "allOf": [
            {"$ref": "#/components/schemas/NewAccount"},
            {
                "type": "object",
                "required": ["idempotency_key"],
                "properties": {"idempotency_key": IDEMPOTENCY_KEY["schema"]},
            },
        ]
    }
    many = {"type": "array", "items": keyed, "minItems": 1, "maxItems": ITEMS_MAX}
    example = {k: v for k, v in OFFERED["open_account"].example.items() if k != "kind"}
    schema = {"oneOf": [{"$ref": "#/components/schemas/NewAccount"}, many]}
    examples = {
        "one": {"value": example},
        "many": {"value": [{"idempotency_key": "customer-42", **example}]},
    }
    return {"required": True, "content": {JSON: {"schema": schema, "examples": examples}}}


def _headers() -> dict[str, Any]:
    described = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()
    }
    return {"headers": described}
