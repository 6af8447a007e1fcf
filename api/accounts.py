"""Accounts: opened, changed, frozen and closed by operations of the log; read with balances."""

import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE

from api import bulk, openapi, queries, shown, things
from api.answers import answer
from api.auth import may
from api.errors import Rejected
from api.intake import (
    BULK_MAX_BYTES,
    checked_items,
    json_body,
    optional_json_body,
    read_item,
)
from api.paging import cursor, page, place_after, text_after
from api.parameters import BULK_STATUSES, AccountsQuery
from api.privacy import reveal
from api.searches import DirectedQuery, listing, wanted_by
from api.state import state
from api.things import CHANGE_HEADERS, CHANGE_PROBLEMS, DEFAULT_WAIT_S, LATER, Thing
from api.tokens import Principal
from api.waiting import wanted_wait_s
from models.db import tenant_reading
from models.ledger import LedgerRef
from pipeline.kinds.fields import CODE_PATTERN
from pipeline.permissions import action_of
from pipeline.privacy.naming import Naming
from pipeline.privacy.subjects import named

blueprint = Blueprint(
    "Accounts",
    __name__,
    url_prefix="/v1/ledgers/<ledger>/accounts",
    description="What a ledger keeps balances of. An account whose code ends in `/postings`,"
    " `/balance` or `/statement` is read with `?code=` on the list.",
)

CHANGED = {200: ("Account", "It, as it is now."), 202: LATER}
FREEZE = openapi.json_body("Freeze", {"mode": "debits"}, required=False)


@blueprint.route("", methods=["POST"], parameters=openapi.in_ledger())
@blueprint.doc(
    **openapi.route(
        {
            201: ("Account", "It is open."),
            **CHANGED,
            200: (openapi.ACCOUNT_OR_BULK, "A replay; or what became of each of many."),
        },
        body=openapi.new_accounts_body(),
        headers=CHANGE_HEADERS,
        problems=CHANGE_PROBLEMS,
        action="operation.open_account",
    )
)
def open_(ledger: str) -> Response:
    """Open an account, or many

    Puts an `open_account` operation into the log and waits until it is posted, 5 seconds or what
    `Prefer: wait=N` says. A JSON array of up to 5,000 accounts, each with an `idempotency_key` of
    its own, opens many: then the answer is 200 with an outcome for each one.
    """
    who = may(action_of("open_account"))
    book = state().books.find(who, ledger)
    body = json_body(BULK_MAX_BYTES)
    if isinstance(body, list):
        return _open_many(who, book, checked_items(body))
    return things.perform(who, book, "open_account", body, _thing, makes=True)


@blueprint.route("", methods=["GET"], parameters=openapi.in_ledger())
@blueprint.arguments(AccountsQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("AccountList", "One page, in the order of the codes.")},
        problems=("invalid_cursor", "unknown_ledger", "invalid_request"),
        action="accounts.read",
    )
)
def show_many(query: dict[str, Any], ledger: str) -> Response:
    """List accounts"""
    who = may("accounts.read")
    book = state().books.find(who, ledger)
    after = text_after("accounts", query.get("after")) or ""
    limit = query["limit"]
    with tenant_reading(who.tenant_id, state().engine) as connection:
        if "code" in query:
            found = list(queries.accounts(connection, book, [query["code"]]).values())
            codes, more = [], False
        elif "subject" in query:
            naming = Naming(book, named(query["subject"]))
            codes = naming.codes(connection, limit + 1, after)
            open_ones = queries.accounts(connection, book, codes[:limit])
            found = [open_ones[code] for code in codes[:limit] if code in open_ones]
            more = len(codes) > limit
        else:
            found = queries.accounts_page(connection, book, after, limit + 1)
            codes, more = [held.code for held in found], len(found) > limit
        accounts = [shown.account(book, held) for held in found[:limit]]
        accounts = reveal.accounts(connection, who, book, accounts)
    following = cursor("accounts", codes[limit - 1]) if more else None
    return answer(page(accounts, following))


@blueprint.route(
    "/<account_code:code>", methods=["GET"], parameters=openapi.in_ledger(openapi.CODE)
)
@blueprint.doc(
    **openapi.route(
        {200: ("Account", "It, with its balances.")},
        problems=("unknown_ledger", "unknown_account", *openapi.SEALED),
        action="accounts.read",
    )
)
def show(ledger: str, code: str) -> Response:
    """Show an account"""
    who = may("accounts.read")
    book = state().books.find(who, ledger)
    with tenant_reading(who.tenant_id, state().engine) as connection:
        found = [shown.account(book, queries.account(connection, book, code))]
        (one,) = reveal.accounts(connection, who, book, found)
    return answer(one)


@blueprint.route(
    "/<account_code:code>/postings", methods=["GET"], parameters=openapi.in_ledger(openapi.CODE)
)
@blueprint.arguments(DirectedQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("AccountPostingList", "One page.")},
        problems=("invalid_cursor", "unknown_ledger", "unknown_account", "invalid_request"),
        action="accounts.read",
    )
)
def show_postings(query: dict[str, Any], ledger: str, code: str) -> Response:
    """List an account's postings

    Its statement, newest first, or `order=oldest`: every movement with the balance behind it.
    """
    who = may("accounts.read")
    book = state().books.find(who, ledger)
    wanted = wanted_by(query, place_after("postings", query.get("after")), account=code)
    if not CODE_PATTERN.fullmatch(code):
        raise queries.unknown_account()
    with tenant_reading(who.tenant_id, state().engine) as connection:
        listed = listing(connection, book, wanted).postings()
    following = None if listed.following is None else cursor("postings", listed.following)
    return answer(page(list(map(shown.account_posting, listed.items)), following))


@blueprint.route(
    "/<account_code:code>", methods=["PATCH"], parameters=openapi.in_ledger(openapi.CODE)
)
@blueprint.doc(
    **things.changing(
        "update_account", CHANGED, openapi.json_body("AccountChange", {"overdraft": 50000})
    )
)
def change(ledger: str, code: str) -> Response:
    """Change an account

    Another overdraft, name or metadata. What is not named stays as it was.
    """
    return _perform_on(ledger, "update_account", code, json_body)


@blueprint.route(
    "/<account_code:code>/freeze", methods=["POST"], parameters=openapi.in_ledger(openapi.CODE)
)
@blueprint.doc(**things.changing("freeze_account", CHANGED, FREEZE))
def freeze(ledger: str, code: str) -> Response:
    """Freeze an account

    It takes no postings, or with `mode` no `debits` or no `credits`, until it is unfrozen. Freezing
    it in another mode changes the mode.
    """
    return _perform_on(ledger, "freeze_account", code, optional_json_body)


@blueprint.route(
    "/<account_code:code>/unfreeze", methods=["POST"], parameters=openapi.in_ledger(openapi.CODE)
)
@blueprint.doc(**things.changing("unfreeze_account", CHANGED))
def unfreeze(ledger: str, code: str) -> Response:
    """Unfreeze an account

    It takes postings again.
    """
    return _perform_on(ledger, "unfreeze_account", code, optional_json_body)


@blueprint.route(
    "/<account_code:code>/close", methods=["POST"], parameters=openapi.in_ledger(openapi.CODE)
)
@blueprint.doc(**things.changing("close_account", CHANGED))
def close(ledger: str, code: str) -> Response:
    """Close an account

    Its balance must be zero, and nothing pending. It takes no postings until it is reopened.
    """
    return _perform_on(ledger, "close_account", code, optional_json_body)


@blueprint.route(
    "/<account_code:code>/reopen", methods=["POST"], parameters=openapi.in_ledger(openapi.CODE)
)
@blueprint.doc(**things.changing("reopen_account", CHANGED))
def reopen(ledger: str, code: str) -> Response:
    """Reopen an account

    A closed account takes postings again.
    """
    return _perform_on(ledger, "reopen_account", code, optional_json_body)


def _perform_on(ledger: str, kind: str, code: str, read_body: Callable[[], Any]) -> Response:
    """Put an operation about the account that stands in the address into the log."""
    who = may(action_of(kind))
    book = state().books.find(who, ledger)
    members = read_body()
    things.add_named(members, "account", code, "account")
    return things.perform(who, book, kind, members, _thing)


def _thing(book: LedgerRef, operation: dict[str, Any]) -> Thing:
    code = operation["code" if operation["kind"] == "open_account" else "account"]
    return Thing(f"accounts/{quote(code, safe=':/@')}", _read(book, code))


def _read(book: LedgerRef, code: str) -> dict[str, Any]:
    with tenant_reading(book.tenant_id, state().engine) as connection:
        return shown.account(book, queries.account(connection, book, code))


def _open_many(who: Principal, book: LedgerRef, items: list[Any]) -> Response:
    """Open all of them, wait for the last, and say of each what came of it."""
    wait_s = wanted_wait_s(DEFAULT_WAIT_S)
    due = time.monotonic() + wait_s
    with state().listener.watch(book, wait_s) as watch:
        found = bulk.hand_in(book, items, lambda item: read_item(who, item, "open_account"))
        new = [one["position"] for one in found if one["status"] == "accepted"]
        if watch is not None and new:
            watch.wait(max(new), due)
    return bulk.response(_with_accounts(book, found), ("opened", "rejected", *BULK_STATUSES))


def _with_accounts(book: LedgerRef, found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outcomes with the accounts that are open by now, or why they are not."""
    found = list(found)
    positions = [one["position"] for one in found if "position" in one]
    with tenant_reading(book.tenant_id, state().engine) as connection:
        rows = queries.operations(connection, book, positions)
        operations = {row.position: shown.stored_operation(book, row) for row in rows}
        codes = {operation["code"] for operation in operations.values()}
        accounts = queries.accounts(connection, book, codes)
    for one in found:
        operation = operations.get(one.get("position"))
        if operation is None:
            continue
        if operation["status"] == "rejected":
            one |= {"status": "rejected", "error": Rejected(operation).body()}
        elif operation["status"] == "posted":
            one["account"] = shown.account(book, accounts[operation["code"]])
            if one["status"] == "accepted":
                one["status"] = "opened"
    return found
