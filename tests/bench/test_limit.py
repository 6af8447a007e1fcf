"""The limit that Trident is measured against leaves what Trident would leave."""

from itertools import islice

import pytest

from bench.measure import Pair, transfers, uniform
from bench.others import limit
from pipeline.receipt import Submission
from pipeline.verify.verify import verify
from tests.bank import Bank, new_ledger

CODES = ["customers:1", "customers:2", "customers:3"]
RUN = 40
COUNT = 101  # three runs, the last of them short, and no power of two
FIRST = len(CODES) + 1


@pytest.fixture
def pairs() -> list[Pair]:
    """Between these customers."""
    return list(islice(uniform(CODES), COUNT))


def test_its_ledger_verifies_and_has_the_balances_of_trident(
    env: dict[str, str], pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same submissions, same balances; and `trident verify` finds nothing to say."""
    monkeypatch.setattr(limit, "RUN", RUN)
    submissions = transfers(pairs, COUNT)
    trident, lean = opened(), opened()
    trident.accept(*submissions)
    trident.work()
    limit.prepare()
    limit.stage(lean.ledger, FIRST, submissions)
    limit.write(lean.ledger, FIRST, FIRST + COUNT - 1)
    assert [lean.balance(code) for code in CODES] == [trident.balance(code) for code in CODES]
    assert [finding for finding in verify(lean.ledger) if finding.fault] == []


def test_it_goes_on_where_trident_was_and_trident_goes_on_after_it(
    env: dict[str, str], pairs: list[Pair]
) -> None:
    """Runs, versions and blocks of both continue each other."""
    bank = opened()
    limit.prepare()
    limit.stage(bank.ledger, FIRST, transfers(pairs, COUNT))
    limit.write(bank.ledger, FIRST, FIRST + COUNT - 1)
    limit.clear(bank.ledger)
    receipts = bank.accept(*transfers(pairs, COUNT))
    bank.work()
    assert bank.status(receipts[-1]) == "posted"  # type: ignore[arg-type]
    assert [finding for finding in verify(bank.ledger) if finding.fault] == []


def test_a_replayed_key_ends_it(env: dict[str, str], pairs: list[Pair]) -> None:
    """It looks nothing up, but the database's unique keys hold for it as for Trident."""
    bank = opened()
    submissions: list[Submission] = transfers(pairs, 2)
    limit.prepare()
    limit.stage(bank.ledger, FIRST, [*submissions, submissions[0]])
    with pytest.raises(Exception, match="idempotency_keys_pkey"):
        limit.write(bank.ledger, FIRST, FIRST + 2)
    assert bank.rows("SELECT FROM postings WHERE ledger_id = :ledger") == []


def opened() -> Bank:
    """A ledger with the customers."""
    bank = Bank(new_ledger())
    for code in CODES:
        bank.open(code, overdraft="unlimited")
    bank.work()
    return bank
