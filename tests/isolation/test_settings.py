"""Whose transaction it is: said for one transaction, and gone with it."""

import ast
import re
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from models.db import app_engine, set_tenant, tenant_writing

HERE = Path(__file__).parents[2]
SAYS = re.compile(r"set_config\('trident\.tenant', [^,]+, (\w+)")
NOBODYS = ("tenants", "ledgers", "operations", "accounts", "postings", "runs")


def count(connection: Connection) -> int:
    """How many rows are there in all of some tables."""
    every = " + ".join(f"(SELECT count(*) FROM {table})" for table in NOBODYS)
    return int(connection.execute(text(f"SELECT {every}")).scalar_one())


def said(connection: Connection) -> str | None:
    """What the setting is."""
    query = text("SELECT current_setting('trident.tenant', true)")
    found: str | None = connection.execute(query).scalar()
    return found


def test_without_a_tenant_there_is_nothing(application: Connection) -> None:
    """On a new connection the setting is NULL, on a used one '': neither is an error or a row."""
    assert said(application) is None
    assert count(application) == 0
    set_tenant(application, 1)
    assert count(application) > 0
    application.rollback()
    assert said(application) == ""
    assert count(application) == 0


def test_a_pooled_connection_forgets_its_tenant(env: dict[str, str]) -> None:
    """After a commit, and after an error."""
    with tenant_writing(1) as connection:
        assert count(connection) > 0
    with app_engine().connect() as connection:
        assert count(connection) == 0
    with pytest.raises(DBAPIError), tenant_writing(1) as connection:
        connection.execute(text("SELECT 1 / 0"))
    with app_engine().connect() as connection:
        assert count(connection) == 0


def test_a_tenant_said_behind_a_savepoint_ends_with_it(application: Connection) -> None:
    """What was said before it holds again."""
    set_tenant(application, 1)
    mine = count(application)
    savepoint = application.begin_nested()
    set_tenant(application, 999_999)
    assert count(application) == 0
    savepoint.rollback()
    assert count(application) == mine


@pytest.mark.parametrize("value", ["x", "1 OR true", "1; SELECT 1", "9" * 12, "1.0"])
def test_a_tenant_that_is_no_number_is_an_error(application: Connection, value: str) -> None:
    """And not anybody."""
    application.execute(text("SELECT set_config('trident.tenant', :value, true)"), {"value": value})
    with pytest.raises(DBAPIError, match=r"invalid input syntax|out of range"):
        count(application)


def test_the_code_says_a_tenant_for_one_transaction_only() -> None:
    """Each set_config of ours is local, and nothing sets the tenant in another way."""
    calls = []
    for folder in ("api", "cli", "models", "pipeline", "tasks"):
        for path in sorted((HERE / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    sets = SAYS.findall(node.value)
                    calls += [(path.name, call) for call in sets]
                    assert not re.search(r"\bSET\s+(SESSION\s+)?trident\.", node.value), path
    assert len(calls) > 1
    assert [one for one in calls if one[1] != "true"] == []
