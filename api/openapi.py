"""The OpenAPI document: what flask-smorest reads off the routes, and what it cannot see by itself.

Operations are parsed once, by hand, so the routes say here which body they take. `route` gives the
keyword arguments of `Blueprint.doc`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask
from flask_smorest import Api
from marshmallow import Schema

from api import (
    parameters,
    schemas,
    schemas_reports,
    schemas_rules,
    schemas_schedules,
    schemas_tried,
)
from api.converters import AccountCode
from api.errors import PROBLEM_JSON, PROBLEMS
from api.intake import ITEMS_MAX, JSON, NDJSON
from pipeline.kinds import OFFERED

VERSION = "3.1.0"
DESCRIPTION = """\
Trident takes financial operations and posts each of them exactly once to a double-entry ledger.

An operation is accepted into the log of its ledger (202) and then passes five stages: validate, \
authorize, post, audit, notify. Repeating a request with the same `Idempotency-Key` never executes \
it twice: it gives the same operation again.

Amounts are integers in minor units of an ISO 4217 currency: 1250 is 12.50 USD."""

# What any request may be answered with, whatever its route.
ALWAYS = ("token_missing", "token_invalid", "forbidden", "internal_error", "database_unavailable")

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


class Document(Api):
    """flask-smorest's, with our shape of errors."""

    ERROR_SCHEMA = schemas.ProblemSchema


# What routes about one thing take: the members of a kind, less what stands in the address.
ROUTE_BODIES = {
    "NewAccount": ("open_account", ()),
    "AccountChange": ("update_account", ("account",)),
    "Freeze": ("freeze_account", ("account",)),
    "Remark": ("close_account", ("account",)),
    "NewSchedule": ("schedule", ()),
    "ApprovalRemark": ("approve", ("target",)),
    "Refusal": ("refuse", ("target",)),
}


def make(app: Flask) -> Api:
    """The Api object to register blueprints with."""
    app.config.update(
        API_TITLE="Trident",
        API_VERSION="v1",
        OPENAPI_VERSION=VERSION,
        OPENAPI_URL_PREFIX="/v1",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION},
            "security": [{"bearer": []}],
        },
    )
    api = Document(app)
    api.register_converter(AccountCode, lambda _converter: {"type": "string"})
    api.spec.components.security_scheme(
        "bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    )
    _add_answers(api)
    _add_kinds(api)
    return api


def route(
    answers: Mapping[int, tuple[str | Mapping[str, Any], str]],
    *,
    body: Mapping[str, Any] | None = None,
    headers: Iterable[Mapping[str, Any]] = (),
    problems: Iterable[str] = (),
    open_to_all: bool = False,
) -> dict[str, Any]:
    """A route's documentation: `answers` are (component or schema, description) by status."""
    of_operation = any(header is IDEMPOTENCY_KEY for header in headers)
    responses: dict[str, Any] = {
        str(status): {
            "description": description,
            "content": {JSON: {"schema": component}},
            **(_headers() if of_operation else {}),
        }
        for status, (component, description) in answers.items()
    }
    every = [*problems, *(() if open_to_all else ALWAYS)]
    for status in sorted({PROBLEMS[code].status for code in every}):
        codes = [code for code in every if PROBLEMS[code].status == status]
        responses[str(status)] = {
            "description": " ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
            "content": {PROBLEM_JSON: {"schema": "Problem"}},
        }
    said: dict[str, Any] = {"responses": responses, "x-problems": every}
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


def component_of(kind: str) -> str:
    """The name of a kind's component: open_account is OpenAccount."""
    return "".join(word.capitalize() for word in kind.split("_"))


def _headers() -> dict[str, Any]:
    described = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()
    }
    return {"headers": described}


def _add_answers(api: Api) -> None:
    lists = (
        schemas.LedgerSchema,
        schemas.AccountSchema,
        schemas.AccountPostingSchema,
        schemas.LedgerPostingSchema,
        schemas.ListedOperationSchema,
        schemas_schedules.ScheduleStateSchema,
        schemas_schedules.OccurrenceSchema,
        schemas_rules.WaitingOperationSchema,
    )
    shapes: tuple[type[Schema], ...] = (
        schemas.ProblemSchema,
        schemas.LedgerStateSchema,
        parameters.LedgerRequestSchema,
        schemas.OperationSchema,
        schemas.BulkSchema,
        schemas_tried.DryRunSchema,
        schemas.HealthSchema,
        schemas_rules.SettingsSchema,
        *schemas_reports.SHAPES,
        *lists,
        *map(schemas.list_of, lists),
    )
    for shape in shapes:
        name = shape.__name__.removesuffix("Schema")
        description = (shape.__doc__ or "").strip()
        if name not in api.spec.components.schemas:
            api.spec.components.schema(name, {"description": description}, schema=shape)


def _add_kinds(api: Api) -> None:
    """What clients send: each kind by itself, any of them, and any of them as a bulk item."""
    converter = api.ma_plugin.converter
    assert converter is not None
    named = []
    for name, kind in OFFERED.items():
        shape = converter.schema2jsonschema(kind.schema)
        tag = {"kind": {"type": "string", "const": name}}
        whole = _without(shape, ())
        whole["properties"] = tag | whole["properties"]
        whole["required"] = ["kind", *whole.get("required", [])]
        api.spec.components.schema(component_of(name), whole | {"example": kind.example})
        named.append({"$ref": f"#/components/schemas/{component_of(name)}"})
    for component, (name, left_out) in ROUTE_BODIES.items():
        shape = converter.schema2jsonschema(OFFERED[name].schema)
        api.spec.components.schema(component, _without(shape, left_out))
    api.spec.components.schema(
        "Submission", {"oneOf": named, "discriminator": {"propertyName": "kind"}}
    )
    api.spec.components.schema(
        "Item",
        {
            "type": "object",
            "description": "An operation of any kind, with its key beside its members.",
            "required": ["idempotency_key", "kind"],
            "properties": {
                "idempotency_key": IDEMPOTENCY_KEY["schema"],
                "kind": {"type": "string", "enum": list(OFFERED)},
            },
        },
    )


def _without(shape: dict[str, Any], left_out: Iterable[str]) -> dict[str, Any]:
    """An object's schema less some of its members."""
    properties = {name: one for name, one in shape["properties"].items() if name not in left_out}
    required = [name for name in shape.get("required", []) if name not in left_out]
    rest = {name: one for name, one in shape.items() if name not in ("properties", "required")}
    return {**rest, "properties": properties, **({"required": required} if required else {})}
