"""docs/reports.md, docs/search.md, docs/reconciliation.md: what stands there is what comes."""

from pathlib import Path

import orjson
import pytest

from cli.importing import import_accounts, import_operations
from models.ledger import LedgerRef
from tests.api.caller import Caller
from tests.api.written import ROOT, check, examples
from tests.bank import Bank
from tests.cli.conftest import working
from tests.pages import lay_books


@pytest.mark.parametrize("page", ["reports.md", "search.md"])
def test_the_examples_of_the_books_come_true(api: Caller, ledger: LedgerRef, page: str) -> None:
    """Every request of the page, one after the other, gives what stands below it."""
    lay_books(Bank(ledger))
    check(api, page)


@pytest.fixture
def bakery(api: Caller, ledger: LedgerRef, tmp_path: Path) -> Caller:
    """The books of examples/, posted."""
    with working(ledger):
        import_accounts(ROOT / "examples" / "accounts.csv", ledger)
        import_operations(
            ROOT / "examples" / "operations.csv", ledger, rejected_path=tmp_path / "rejected.csv"
        )
    return api


def test_the_examples_of_a_reconciliation_come_true(bakery: Caller) -> None:
    """Every request of the page, one after the other, gives what stands below it."""
    check(bakery, "reconciliation.md")


def test_the_document_shows_the_examples_of_the_page(api: Caller) -> None:
    """Every body that the OpenAPI document shows of a reconciliation stands on the page."""
    shown = [
        orjson.loads(one.body)
        for one in examples("reconciliation.md")
        if one.body and not one.body.startswith("@")
    ]
    paths = orjson.loads(api.get("/v1/openapi.json").data)["paths"]
    bodies = [
        route["requestBody"]["content"]["application/json"]["example"]
        for path, item in paths.items()
        if "/reconciliations/" in path or "/csv-mappings" in path
        for method, route in item.items()
        if method in ("post", "put") and "application/json" in route["requestBody"]["content"]
    ]
    assert len(bodies) > len(shown) // 2
    for body in bodies:
        assert body in shown, f"{body} is not in docs/reconciliation.md"
