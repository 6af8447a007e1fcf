"""Dry runs: what would become of operations now, without putting them into the log."""

from collections import Counter
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from api import openapi, shown
from api.answers import answer
from api.auth import may
from api.errors import Problem
from api.intake import (
    BULK_MAX_BYTES,
    NDJSON,
    checked_items,
    checked_key,
    items_body,
    json_body,
    read,
)
from api.parameters import DRY_STATUSES
from api.privacy import edge
from api.state import state
from api.tokens import Principal
from models.db import tenant_reading
from pipeline.dry_run import DryRun, Outlook
from pipeline.receipt import Submission

blueprint = Blueprint(
    "Dry runs",
    __name__,
    url_prefix="/v1/ledgers/<ledger>/operations/dry-run",
    description="What would happen to operations now.",
)


@blueprint.route("", methods=["POST"], parameters=openapi.in_ledger())
@blueprint.doc(
    **openapi.route(
        {200: ("DryRun", "What would become of each.")},
        body=openapi.dry_run_body(),
        problems=(
            "malformed_body",
            "unknown_ledger",
            "body_too_large",
            "too_many_items",
            "unsupported_media_type",
            "invalid_request",
            "unknown_kind",
            "currency_not_allowed",
            "subject_erased",
            "subject_restricted",
            "keys_unavailable",
            "idempotency_key_invalid",
            "idempotency_key_reserved",
        ),
        action="dry_run",
    )
)
def create(ledger: str) -> Response:
    """Try operations

    One operation, or up to 5,000 as a JSON array or NDJSON, which are tried one after the other as
    they would take effect. Nothing is stored, and no key is used up: `idempotency_key` is optional,
    and says whether an operation would be a repetition. `as_of` is the last posted position;
    `waiting` operations of the log come before them and are not tried. What cannot be read is
    refused whole.
    """
    who = may("dry_run")
    book = state().books.find(who, ledger)
    read = [_read(who, index, item) for index, item in enumerate(_items())]
    submissions = edge.seal_trial(book, read)
    with tenant_reading(who.tenant_id, state().engine) as connection:
        run = DryRun(connection, book)
        outlooks = list(run.outlooks(iter(submissions)))
    counted = Counter(outlook.status for outlook in outlooks)
    return answer(
        {
            "object": "dry_run",
            "ledger": book.name,
            "as_of": run.as_of,
            "waiting": run.waiting,
            **{status: counted[status] for status in DRY_STATUSES},
            "data": [_shown(index, outlook) for index, outlook in enumerate(outlooks)],
        }
    )


def _items() -> list[Any]:
    if request.mimetype == NDJSON:
        return items_body()
    body = json_body(BULK_MAX_BYTES)
    return checked_items(body) if isinstance(body, list) else [body]


def _read(who: Principal, index: int, item: Any) -> Submission:
    try:
        if not isinstance(item, dict):
            raise Problem("invalid_request", "An operation is a JSON object.")
        key = f"trident:dry-run:{index}"
        if "idempotency_key" in item:
            key = checked_key(item.pop("idempotency_key"), "idempotency_key")
        return read(who, key, item).submission
    except Problem as problem:
        problem.detail = f"Item {index}: {problem.detail}"
        raise


def _shown(index: int, outlook: Outlook) -> dict[str, Any]:
    refusal = outlook.refusal
    return {
        "index": index,
        "status": outlook.status,
        "rejection": refusal and shown.shown_rejection(outlook.stage or "post", *refusal),
        "postings": [shown.tried(line) for line in outlook.lines],
        "decisions": [
            {
                "effect": decision.effect,
                "amount": decision.amount,
                "remaining": decision.remaining,
                "last": decision.terminal,
            }
            for decision in outlook.decisions
        ],
    }
