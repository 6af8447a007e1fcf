"""How Postgres means to search: by the index that is meant for it, and no table from end to end."""

from typing import Any

import pytest
from sqlalchemy import text

from models.db import make_engine, tenant_writing
from pipeline import halving
from pipeline.search import check, index, lines, listing, sources
from tests.bank import Bank, new_ledger

PLANS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "the index": (
        sources.INDEX,
        {"buckets": "{1,2}", "low": 0, "high": 1},
        {"search_index_pkey"},
    ),
    "a segment to be made anew": (
        index.DELETE,
        {"buckets": "{1,2}", "segment": 1},
        {"search_index_pkey"},
    ),
    "postings of accounts": (
        sources.POSTED_TO,
        {"numbers": "{1,2}", "lows": "{1,1}", "highs": "{50,50}", "many": 51},
        {"postings_tenant_id_ledger_id_account_pending_version_key"},
    ),
    "rejections": (
        sources.REJECTED,
        {"low": 1, "high": 9_000, "many": 51},
        {"rejections_pkey"},
    ),
    "accounts of a prefix": (
        listing.ACCOUNTS_OF_PREFIX,
        {"prefix": "many:", "many": 201},
        {"accounts_by_prefix"},
    ),
    "a time": (
        halving.POSITION_AT,
        {"low": 1, "high": 9_000, "value": "2026-01-01"},
        {"operations_pkey"},
    ),
}
RANGE = {"low": 100, "high": 400}
LIST = {"positions": "{5,6,7,3000}"}
FILTERS = {
    "kind": check.OF_KIND,
    "rejected": check.REJECTED.format(here="{here}", verdict="TRUE"),
    "not rejected": check.REJECTED.format(here="{here}", verdict="NOT TRUE"),
    "account": check.POSTED_TO_ACCOUNT,
    "prefix": check.POSTED_TO_PREFIX,
    "amount": f"AND {check.POSTED_AMOUNT}",
}
VALUES = {
    "kind": "transfer",
    "accounts": "{3,4}",
    "prefix": "many:",
    "least": 1,
    "most": 50,
    "after": 300,
    "after_leg": 0,
    "currency": "EUR",
    "account": 3,
    "many": 51,
}
HOT = ("operations", "postings", "rejections", "search_index")


def plan_of(bank: Bank, statement: str, parameters: dict[str, Any]) -> str:
    """How Postgres means to go about it."""
    scope = {"tenant": 1, "ledger": bank.ledger.ledger_id, **VALUES, **parameters}
    sql = "EXPLAIN " + statement.format(direction="DESC")
    with tenant_writing(1) as connection:
        return "\n".join(row[0] for row in connection.exec_driver_sql(sql, scope))


def assert_no_whole_table(plan: str) -> None:
    """No table that grows with the log is read from one end to the other."""
    for table in HOT:
        assert f"Seq Scan on {table}" not in plan, plan


@pytest.fixture(scope="module", params=["fresh", "analyzed"])
def planned(request: pytest.FixtureRequest, indexed: Bank, environment: dict[str, str]) -> Bank:
    """The filled ledger; or another one after ANALYZE, which its statistics have not seen."""
    if request.param == "fresh":
        return indexed
    url = environment["TRIDENT_OWNER_DATABASE_URL"]
    owner = make_engine(url, statement_timeout_ms=30_000, trusted=True)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ANALYZE {', '.join(HOT)}, accounts"))
    owner.dispose()
    return Bank(new_ledger())


@pytest.mark.parametrize("what", PLANS)
def test_a_search_goes_by_the_index(planned: Bank, what: str) -> None:
    """Each source is read by the index that is meant for it."""
    statement, parameters, indexes = PLANS[what]
    plan = plan_of(planned, statement, parameters)
    assert_no_whole_table(plan)
    assert all(index in plan for index in indexes), plan


@pytest.mark.parametrize("where", ["range", "list"])
@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_is_served_by_an_index(planned: Bank, name: str, where: str) -> None:
    """Whatever is asked of candidates, no whole table is read for it."""
    of: dict[str, tuple[str, str, dict[str, Any]]] = {
        "range": (check.FROM_RANGE, check.IN_RANGE, RANGE),
        "list": (check.FROM_LIST, check.IN_LIST, LIST),
    }
    source, here, parameters = of[where]
    statement = f"SELECT o.position, o.body::text {source}".replace("{filters}", FILTERS[name])
    assert_no_whole_table(plan_of(planned, statement.replace("{here}", here), parameters))


@pytest.mark.parametrize("where", ["range", "list", "account"])
@pytest.mark.parametrize("name", ["accounts", "prefix", "currency", "amount", "behind"])
def test_postings_are_served_by_an_index(planned: Bank, name: str, where: str) -> None:
    """The same for postings."""
    of: dict[str, tuple[str, str, dict[str, Any]]] = {
        "range": (lines.FROM_RANGE, "p.position DESC, p.leg DESC", RANGE),
        "list": (lines.FROM_LIST, "p.position DESC, p.leg DESC", LIST),
        "account": (lines.OF_ACCOUNT, "p.version DESC", {"low": 1, "high": 50}),
    }
    source, order, parameters = of[where]
    filters = {
        "accounts": lines.OF_ACCOUNTS,
        "prefix": lines.OF_PREFIX,
        "currency": lines.OF_CURRENCY,
        "amount": f"AND ({lines.CREDITS} OR {lines.DEBITS})",
        "behind": lines.BEHIND.format(sign="<"),
    }[name]
    statement = lines.LINES.format(source=source, filters=filters, order=order)
    assert_no_whole_table(plan_of(planned, statement, parameters))
