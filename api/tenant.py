"""The tenant itself, as its own people see and settle it."""

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import ValidationError
from sqlalchemy import Connection

from api import openapi
from api.answers import answer
from api.auth import may
from api.errors import Problem, invalid
from api.intake import json_body
from api.state import state
from models.db import tenant_reading
from models.tenant import TenantState, tenant_state
from models.tenant_settings import Settings
from pipeline.came_from import telling
from pipeline.tenants import TenantError, change

blueprint = Blueprint(
    "Tenant",
    __name__,
    url_prefix="/v1/tenant",
    description="The organisation in whose name the token asks, and what it has settled.",
)

EXAMPLE = {"currencies": ["EUR", "USD"], "retention_days": 3650}


@blueprint.route("", methods=["GET"])
@blueprint.doc(**openapi.route({200: ("Tenant", "It, and its settings.")}, action="tenant.read"))
def show() -> Response:
    """Show the tenant

    Takes the role `admin`. `settings` are the tenant's own; `allowed` says how far the installation
    lets them go; `in_force` is the narrower of both, with null where nothing was said.
    """
    who = may("tenant.read")
    with tenant_reading(who.tenant_id, state().engine) as connection:
        return answer(_shown(_known(tenant_state(connection, who.tenant_id))))


@blueprint.route("", methods=["PATCH"])
@blueprint.doc(
    **openapi.route(
        {200: ("Tenant", "It as it is now.")},
        body=openapi.json_body("TenantSettings", EXAMPLE),
        problems=("malformed_body", "body_too_large", "unsupported_media_type", "invalid_request"),
        action="tenant.settings",
    )
)
def settle() -> Response:
    """Change the tenant's settings

    Members that are not named stay as they are; null takes one away. It
    holds everywhere within two seconds, for what comes in from then on. A change is an event.
    What is erased by itself (`retention`) takes `subjects.erase` as well.
    """
    who = may("tenant.settings")
    changes = json_body()
    try:
        with telling(who.tenant_id, who.subject, state().engine) as connection:
            if _erases(connection, who.tenant_id, changes):
                may("subjects.erase")
            recorded = change(connection, who.tenant_id, "settings", changes, who.subject)
            now = _known(tenant_state(connection, who.tenant_id))
    except ValidationError as error:
        raise invalid(error) from None
    except TenantError:
        raise _gone() from None
    if recorded is not None:
        state().ring(*recorded)
    state().tenancy.remember(who.tenant_id, now)
    return answer(_shown(now))


def _erases(connection: Connection, tenant_id: int, changes: Any) -> bool:
    """Whether something may be erased by itself, perhaps sooner, because of these changes."""
    if not isinstance(changes, dict) or not changes.keys() & {"retention", "retention_days"}:
        return False
    tenant = _known(tenant_state(connection, tenant_id))
    return "retention" in changes or bool(tenant.settings.retention)


def _known(tenant: TenantState | None) -> TenantState:
    if tenant is None:
        raise _gone()
    return tenant


def _gone() -> Problem:
    return Problem("forbidden", "The token's tenant does not exist here. Ask for another token.")


def _shown(tenant: TenantState) -> dict[str, Any]:
    return {
        "object": "tenant",
        "name": tenant.name,
        "created_at": tenant.created_at,
        "settings": tenant.own,
        "allowed": tenant.allowed,
        "in_force": _in_force(tenant.settings),
    }


def _in_force(settings: Settings) -> dict[str, Any]:
    currencies = settings.currencies
    return {
        **settings._asdict(),
        "currencies": None if currencies is None else sorted(currencies),
    }
