"""The OpenAPI document: what flask-smorest reads off the routes, and the shapes that these name."""

from collections.abc import Iterable
from typing import Any

from flask import Flask
from flask_smorest import Api
from marshmallow import Schema

from api import (
    openapi_reconciliations,
    parameters,
    schemas,
    schemas_keys,
    schemas_reports,
    schemas_rules,
    schemas_schedules,
    schemas_subjects,
    schemas_tenant,
    schemas_tried,
)
from api.converters import AccountCode, Name, Reference
from api.errors import PROBLEM_JSON
from api.identity import schemas as schemas_identity
from api.identity import schemas_api_keys
from api.openapi import IDEMPOTENCY_KEY
from models.tenant_settings import TenantSettingsSchema
from pipeline.kinds import OFFERED

VERSION = "3.1.0"
PATH = "/v1/openapi.json"
DESCRIPTION = """\
Trident takes financial operations and posts each of them exactly once to a double-entry ledger.

An operation is accepted into the log of its ledger (202) and then passes five stages: validate, \
authorize, post, audit, notify. Repeating a request with the same `Idempotency-Key` never executes \
it twice: it gives the same operation again.

Amounts are integers in minor units of an ISO 4217 currency: 1250 is 12.50 USD."""


class Document(Api):
    """flask-smorest's, with our shape of errors, and their type."""

    ERROR_SCHEMA = schemas.ProblemSchema
    # Of answers that flask-smorest writes down by itself: those to what nobody expects.
    DEFAULT_RESPONSE_CONTENT_TYPE = PROBLEM_JSON


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
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION},
            "security": [{"bearer": []}],
        },
    )
    api = Document(app)
    for converter in (Name, AccountCode, Reference):
        api.register_converter(converter, lambda _converter: {"type": "string"})
    api.spec.components.security_scheme(
        "bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    )
    _add_answers(api)
    _add_kinds(api)
    return api


def _add_answers(api: Api) -> None:
    lists: tuple[type[Schema], ...] = (
        schemas.LedgerSchema,
        schemas.AccountSchema,
        schemas.AccountPostingSchema,
        schemas.LedgerPostingSchema,
        schemas.ListedOperationSchema,
        schemas_schedules.ScheduleStateSchema,
        schemas_schedules.OccurrenceSchema,
        schemas_rules.WaitingOperationSchema,
        schemas_tenant.EventSchema,
        schemas_identity.PersonSchema,
        schemas_api_keys.ApiKeySchema,
        *openapi_reconciliations.LISTS,
    )
    shapes: tuple[type[Schema], ...] = (
        schemas.ProblemSchema,
        schemas.LedgerStateSchema,
        parameters.LedgerRequestSchema,
        schemas.OperationSchema,
        schemas.BulkSchema,
        schemas_tried.DryRunSchema,
        schemas.HealthSchema,
        schemas_keys.JwkSetSchema,
        schemas_rules.SettingsSchema,
        TenantSettingsSchema,
        schemas_tenant.TenantSchema,
        *schemas_identity.BODIES,
        *schemas_identity.ANSWERS,
        schemas_api_keys.NewApiKeySchema,
        schemas_api_keys.RotationSchema,
        schemas_api_keys.ApiKeyWithSecretSchema,
        *schemas_reports.SHAPES,
        *schemas_subjects.SHAPES,
        *openapi_reconciliations.SHAPES,
        *lists,
        *map(schemas.list_of, lists),
    )
    for shape in shapes:
        name = shape.__name__.removesuffix("Schema")
        description = (shape.__doc__ or "").strip()
        if name not in api.spec.components.schemas:
            api.spec.components.schema(name, {"description": description}, schema=shape)
    changes = schemas_api_keys.ApiKeyChangeSchema(partial=True)
    api.spec.components.schema("ApiKeyChange", schema=changes)


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
        api.spec.components.schema(_component_of(name), whole | {"example": kind.example})
        named.append({"$ref": f"#/components/schemas/{_component_of(name)}"})
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


def _component_of(kind: str) -> str:
    """The name of a kind's component: open_account is OpenAccount."""
    return "".join(word.capitalize() for word in kind.split("_"))
