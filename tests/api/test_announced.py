"""Operations that change what may move are told of among what people did, as well."""

from pathlib import Path
from typing import Any

import psycopg2
import pytest

from cli.importing import import_operations
from models.ledger import LedgerRef
from models.tenant import TenantState
from pipeline import accept as accepting
from pipeline.announced import ANNOUNCED
from pipeline.kinds import OFFERED
from tests.api.caller import Caller, new_key, transfer
from tests.api.shop import book, shop, tenant
from tests.bank import Bank
from tests.cli.conftest import working

__all__ = ["book", "shop", "tenant"]

LIMIT = {
    "kind": "set_limit",
    "name": "daily",
    "per": "day",
    "account": "a",
    "currency": "EUR",
    "amount": 500,
}
FREEZE = {"kind": "freeze_account", "account": "a"}


# What moves money, at once or later, and what makes accounts or describes them.
QUIET = {"transfer", "journal", "exchange", "hold", "capture", "release", "reversal", "group"}
QUIET |= {"schedule", "open_account", "update_account"}


def asked(shop: Caller) -> list[dict[str, Any]]:
    """What the events say of operations, oldest first."""
    page: Any = shop.get("/v1/events?action=operation.asked").json
    return list(reversed(page["data"]))


def test_each_kind_is_told_of_or_moves_money() -> None:
    """Whoever adds one decides which; the docs name those that are told of."""
    assert set(OFFERED) - QUIET == ANNOUNCED
    page = (Path(__file__).parents[2] / "docs" / "tenants.md").read_text()
    assert all(f"`{kind}`" in page for kind in ANNOUNCED)


def test_a_limit_is_told_of_with_who_and_whence(shop: Caller) -> None:
    """The event names the operation, its ledger and kind, who asked, and where from; the operation
    says who submitted it."""
    made: Any = shop.submit(LIMIT, wait=10).json
    (event,) = asked(shop)
    assert event["target"] == made["id"]
    assert event["actor"] == made["submitted_by"] == "cli:ada"
    assert event["detail"] == {"ledger": "main", "kind": "set_limit"}
    assert event["from"]["address"] == "127.0.0.1"
    shop.submit(transfer())
    assert len(asked(shop)) == 1


def test_an_approval_is_told_of_with_what_it_decides(shop: Caller) -> None:
    """Beside the operation that was approved stands the one that waited."""
    rule = {"kind": "set_approval", "name": "all", "operation_kind": "transfer", "people": 1}
    of = {"currency": "EUR", "above": 1, "by_role": "approver", "expires_after_s": 3600}
    assert shop.submit(rule | of, wait=10).json["status"] == "posted"  # type: ignore[index]
    waits: Any = shop.submit(transfer(), wait=10).json
    refused: Any = shop.submit({"kind": "refuse", "target": waits["id"]}, wait=10).json
    _, event = asked(shop)
    assert event["target"] == refused["id"]
    assert event["detail"] == {"ledger": "main", "kind": "refuse", "target": waits["id"]}


def test_a_repeated_request_is_told_of_once(shop: Caller) -> None:
    """Under the same key; and of a bulk request each item that is new."""
    key = new_key()
    for _ in range(2):
        shop.submit(FREEZE, key)
    items = [{"idempotency_key": key, **FREEZE}, {"idempotency_key": new_key(), **LIMIT}]
    shop.post("operations/bulk", [*items, transfer(idempotency_key=new_key())])
    assert [one["detail"]["kind"] for one in asked(shop)] == ["freeze_account", "set_limit"]


def test_what_is_not_stored_is_not_told_of(
    shop: Caller,
    book: LedgerRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event is in the transaction of its operation: both are there, or neither."""

    def fail(point: str) -> None:
        if point == "accept.before_commit":
            raise psycopg2.OperationalError("the commit did not come")

    before = Bank(book).rows("SELECT count(*) FROM operations WHERE ledger_id = :ledger")
    monkeypatch.setattr(accepting, "crash_point", fail)
    assert shop.submit(LIMIT).status_code == 503
    monkeypatch.undo()
    assert Bank(book).rows("SELECT count(*) FROM operations WHERE ledger_id = :ledger") == before
    assert asked(shop) == []


def test_an_import_is_told_of_too(
    shop: Caller,
    book: LedgerRef,
    tenant: TenantState,
    tmp_path: Any,
) -> None:
    """By the name of who runs it; a second run of the same file adds nothing."""
    file = tmp_path / "rules.ndjson"
    file.write_text('{"idempotency_key": "k1", "kind": "freeze_account", "account": "a"}\n')
    with working(book):
        for _ in range(2):
            assert import_operations(file, book).rejected == {}
    (event,) = asked(shop)
    assert event["actor"].startswith("cli:")
    assert event["detail"]["kind"] == "freeze_account"
