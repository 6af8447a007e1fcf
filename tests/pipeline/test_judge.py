"""Validate takes authorize along, and of many operations post: the same outcome as one after the
other, from one reading."""

from collections.abc import Iterable

import pytest

from models.db import app_engine, raw_connection
from pipeline import judge
from pipeline.drain import drain
from pipeline.poison import LONE_ATTEMPTS_MAX
from pipeline.stage import LOCKS, Operation, Refused
from pipeline.verify.verify import verify
from tests.bank import Bank, transfer

NOBODY = b'{"roles": []}'


def runs(bank: Bank) -> list[tuple[str, int, int]]:
    """Every run as (stage, from, to), in its order."""
    query = (
        "SELECT stage, from_position, to_position FROM runs WHERE ledger_id = :ledger"
        " ORDER BY stage DESC, from_position"
    )
    return [tuple(row) for row in bank.rows(query)]


def test_one_run_judges_for_both(bank: Bank) -> None:
    """Each stage refuses what is its own to refuse, has a run of its own, and there is one commit.

    What validate refuses is not judged again.
    """
    wrong = bank.submit("transfer", transfer("a", "a", 1), principal=NOBODY)
    banned = bank.submit("transfer", transfer("a", "b", 1), principal=NOBODY)
    bank.open("a")
    assert drain("validate", bank.ledger) == (1, False)
    assert runs(bank) == [("validate", 1, 3), ("authorize", 1, 3)]
    assert bank.rows("SELECT count(DISTINCT xmin::text) FROM runs WHERE ledger_id = :ledger") == [
        (1,)
    ]
    refused = bank.rows("SELECT position, stage FROM rejections WHERE ledger_id = :ledger")
    assert refused == [(wrong.position, "validate"), (banned.position, "authorize")]
    bank.work()
    assert all(finding.fault is None for finding in verify(bank.ledger))


@pytest.fixture
def many(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """An empty ledger where any number of operations counts as many."""
    monkeypatch.setattr(judge, "FEW", 0)
    return bank


def test_of_many_operations_one_run_posts_too(many: Bank) -> None:
    """Each stage refuses what is its own, has a run of its own, and there is one commit."""
    many.open("world", type="asset", overdraft="unlimited")
    many.open("a")
    wrong = many.submit("transfer", transfer("a", "a", 1))
    banned = many.submit("transfer", transfer("a", "world", 1), principal=NOBODY)
    poor = many.transfer("a", "world", 1)
    paid = many.transfer("world", "a", 5)
    assert drain("validate", many.ledger) == (1, False)
    assert runs(many) == [("validate", 1, 6), ("post", 1, 6), ("authorize", 1, 6)]
    written = "SELECT xmin::text FROM {} WHERE ledger_id = :ledger"
    tables = ("runs", "accounts", "postings", "rejections")
    assert len(many.rows(" UNION ".join(written.format(table) for table in tables))) == 1
    refused = many.rows("SELECT position, stage FROM rejections WHERE ledger_id = :ledger")
    stages = {wrong.position: "validate", banned.position: "authorize", poor.position: "post"}
    assert dict(map(tuple, refused)) == stages
    many.work()
    assert many.status(paid) == "posted"
    assert all(finding.fault is None for finding in verify(many.ledger))


@pytest.mark.parametrize("lags", [False, True])
def test_who_is_at_post_keeps_it(many: Bank, lags: bool) -> None:
    """While another holds post, and where post lags, validate goes on with authorize alone."""
    many.open("a")
    with raw_connection(app_engine()) as other:
        cursor = other.cursor()
        cursor.execute("BEGIN")
        lock = (LOCKS["post"], many.ledger.ledger_id)
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", lock)
        drain("validate", many.ledger)
        cursor.execute("ROLLBACK")
    expected = [("validate", 1, 1), ("authorize", 1, 1)]
    if lags:
        many.open("b")
        drain("validate", many.ledger)
        expected = [
            ("validate", 1, 1),
            ("validate", 2, 2),
            ("authorize", 1, 1),
            ("authorize", 2, 2),
        ]
    assert runs(many) == expected
    many.work()
    assert many.balance("a") == 0


def test_who_is_at_authorize_keeps_it(bank: Bank) -> None:
    """While another holds authorize, validate goes alone and waits for nobody."""
    bank.open("a")
    with raw_connection(app_engine()) as other:
        cursor = other.cursor()
        cursor.execute("BEGIN; SELECT set_config('trident.tenant', '1', true)")
        lock = (LOCKS["authorize"], bank.ledger.ledger_id)
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", lock)
        drain("validate", bank.ledger)
        cursor.execute("ROLLBACK")
    assert runs(bank) == [("validate", 1, 1)]
    bank.work()
    assert bank.balance("a") == 0


def test_what_authorize_has_before_it_is_its_own(bank: Bank) -> None:
    """Where authorize lags, validate goes alone, and authorize takes all that waits in one run."""
    bank.open("a")
    with raw_connection(app_engine()) as other:
        cursor = other.cursor()
        cursor.execute("BEGIN")
        lock = (LOCKS["authorize"], bank.ledger.ledger_id)
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", lock)
        drain("validate", bank.ledger)
        cursor.execute("ROLLBACK")
    bank.open("b")
    drain("validate", bank.ledger)
    drain("authorize", bank.ledger)
    assert runs(bank) == [("validate", 1, 1), ("validate", 2, 2), ("authorize", 1, 2)]


def test_a_failure_is_blamed_on_the_stage_that_fails(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What breaks authorize within validate's run is rejected by authorize, and nothing else is."""
    good = judge.JUDGES["authorize"]
    bank.open("a")
    broken = bank.submit("transfer", {**transfer("a", "b", 1), "description": "poison"})
    bank.open("b")

    def failing(these: Iterable[Operation]) -> list[Refused]:
        these = list(these)
        if any("poison" in operation.body for operation in these):
            raise ValueError("This operation cannot be judged.")
        return good(these)

    monkeypatch.setitem(judge.JUDGES, "authorize", failing)
    for _ in range(LONE_ATTEMPTS_MAX):
        bank.work()
    query = "SELECT position, stage, code FROM rejections WHERE ledger_id = :ledger"
    assert bank.rows(query) == [(broken.position, "authorize", "internal_error")]
    assert (bank.balance("a"), bank.balance("b")) == (0, 0)
