"""The rules of a ledger: limits, approvals and accounts that open by themselves.

Operations set them, as they set everything that changes what a ledger does; here they are shown.
"""

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from api import openapi
from api.answers import answer
from api.auth import may
from api.state import state
from models.db import tenant_reading
from models.ledger import LedgerRef
from pipeline.rules import read_rules
from pipeline.settings import Settings, shown

blueprint = Blueprint(
    "Rules",
    __name__,
    url_prefix="/v1/ledgers/<ledger>/settings",
    description="Limits, approvals, and accounts that open when they are first used. Operations of"
    " the kinds `set_limit`, `set_approval`, `allow_accounts` and their opposites set them.",
)


@blueprint.route("", methods=["GET"], parameters=openapi.in_ledger())
@blueprint.doc(
    **openapi.route(
        {200: ("Settings", "All that are in force.")},
        problems=("unknown_ledger",),
        action="rules.read",
    )
)
def show(ledger: str) -> Response:
    """Show a ledger's rules

    As of the last operation that was posted. `position` is that of the operation that changed them
    last, 0 if none has.
    """
    who = may("rules.read")
    book = state().books.find(who, ledger)
    with tenant_reading(who.tenant_id, state().engine) as connection:
        return answer(_shown(book, read_rules(connection, book)))


def _shown(book: LedgerRef, settings: Settings) -> dict[str, Any]:
    rules = shown(settings)
    for rule in rules["accounts"]:
        rule["overdraft"] = "unlimited" if rule["overdraft"] is None else rule["overdraft"]
    return {"object": "settings", "ledger": book.name, "position": settings.position, **rules}
