"""A dry run says what happens, and nothing happens."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from models.db import tenant_reading
from models.operation import show_id
from pipeline.dry_run import DryRun, Outlook
from pipeline.receipt import Accepted, Submission
from pipeline.strict_json import canonical
from tests.bank import ADMIN, Bank, new_ledger, transfer
from tests.pipeline.logs import LOGS, START


def tried(bank: Bank, *submissions: Submission) -> list[Outlook]:
    """What would become of them now."""
    with tenant_reading(bank.ledger.tenant_id) as connection:
        return list(DryRun(connection, bank.ledger).outlooks(iter(submissions)))


def everything(bank: Bank) -> list[Any]:
    """How many rows each table has of the ledger."""
    tables = ("operations", "postings", "rejections", "decisions", "runs", "accounts")
    counts = ", ".join(
        f"(SELECT count(*) FROM {table} WHERE ledger_id = :ledger) AS {table}" for table in tables
    )
    return bank.rows(f"SELECT {counts}")


def came_of(bank: Bank, accepted: Accepted) -> tuple[str, list[Any]]:
    """The refusal of an operation, or its status; and its postings."""
    postings = bank.rows(
        "SELECT leg, account, version, pending, amount, balance_after, currency FROM postings"
        " WHERE ledger_id = :ledger AND position = :at ORDER BY leg",
        at=accepted.position,
    )
    return bank.rejection(accepted) or bank.status(accepted), [tuple(row) for row in postings]


@given(LOGS)
@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
def test_a_dry_run_comes_true(env: dict[str, str], log: list[tuple[str, dict[str, Any]]]) -> None:
    """Refusals, postings with their versions and balances: the same as when it is done."""
    bank = Bank(new_ledger())
    submissions = [
        Submission(f"key-{number}", kind, canonical({"overdraft": 0, **body}), ADMIN)
        if kind == "open_account"
        else Submission(f"key-{number}", kind, canonical(body), ADMIN)
        for number, (kind, body) in enumerate(log)
    ]
    bank.accept(*submissions[: len(START)])
    bank.work()
    before = everything(bank)
    outlooks = tried(bank, *submissions[len(START) :])
    assert everything(bank) == before
    receipts = bank.accept(*submissions[len(START) :]) if len(log) > len(START) else []
    bank.work()
    for outlook, receipt in zip(outlooks, receipts, strict=True):
        assert isinstance(receipt, Accepted)
        said = outlook.refusal.code if outlook.refusal else outlook.status
        assert (said, [tuple(line.posting)[1:] for line in outlook.lines]) == came_of(bank, receipt)


@pytest.fixture
def shop(bank: Bank) -> Bank:
    """A customer with 100.00 EUR and a merchant."""
    bank.fund("customer", 10_000)
    bank.open("merchant")
    bank.work()
    return bank


def test_operations_build_on_each_other(shop: Bank) -> None:
    """What one spends the next one does not have, over more operations than are read together."""
    body = transfer("customer", "merchant", 7)
    many = [shop.submission("transfer", body) for _ in range(1_500)]
    outlooks = tried(shop, *many)
    assert [outlook.status for outlook in outlooks].count("posted") == 10_000 // 7
    assert outlooks[-1].refusal is not None
    assert outlooks[-1].refusal.code == "insufficient_funds"
    assert shop.balance("customer") == 10_000


def test_keys_that_are_known(shop: Bank) -> None:
    """A repetition would change nothing, and a known key cannot have other content."""
    body = transfer("customer", "merchant", 6_000)
    shop.submit("transfer", body, key="order")
    shop.work()
    again = shop.submission("transfer", body, key="order")
    other = shop.submission("transfer", {**body, "amount": 1}, key="order")
    first = shop.submission("transfer", {**body, "amount": 4_000}, key="new")
    twice = shop.submission("transfer", {**body, "amount": 4_000}, key="new")
    altered = shop.submission("transfer", {**body, "amount": 3_999}, key="new")
    statuses = [one.status for one in tried(shop, again, other, first, twice, altered)]
    assert statuses == ["replayed", "conflict", "posted", "replayed", "conflict"]


def test_holds_are_tried(shop: Bank) -> None:
    """A hold would be pending; what is held by now can be captured in a trial, again and again."""
    held = shop.submit("hold", transfer("customer", "merchant", 6_000))
    shop.work()
    capture = shop.submission("capture", {"target": show_id(held.id), "amount": 5_000})
    another = shop.submission("hold", transfer("customer", "merchant", 4_001))
    fits = shop.submission("hold", transfer("customer", "merchant", 4_000))
    for _ in range(2):
        outlooks = tried(shop, capture, another, fits)
        assert [one.status for one in outlooks] == ["posted", "rejected", "pending"]
        assert [decision.remaining for decision in outlooks[0].decisions] == [1_000]
    assert shop.status(held) == "pending"


def test_what_waits_in_the_log_is_counted(shop: Bank) -> None:
    """The trial builds on what is posted, and says what it leaves out."""
    shop.transfer("customer", "merchant", 10_000)
    with tenant_reading(1) as connection:
        run = DryRun(connection, shop.ledger)
        (outlook,) = run.outlooks(
            iter([shop.submission("transfer", transfer("customer", "merchant", 1))])
        )
    assert (run.waiting, outlook.status) == (1, "posted")
    assert run.as_of == shop.rows("SELECT last_position(1, :ledger, 'post')")[0][0]
