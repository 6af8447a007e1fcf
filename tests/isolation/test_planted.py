"""Views and functions as the catalog lists them, and operators that fail before a policy is asked.

A row of each of two tenants stands in every table for the length of a transaction, with every other
guard off: what keeps them apart are privileges and row-level security alone.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tests.isolation.schema import (
    DEFINERS,
    FIRST,
    ROLES,
    SECOND,
    WORD,
    as_application,
    functions,
    planted_everywhere,
    tables,
    views,
)

# Comparisons that may tell of a value in the words with which they fail, so that Postgres does not
# hold them for leakproof. These fail for every row that they are asked of.
TELLING = {
    "numeric": "1::numeric / (tenant_id - tenant_id) = 0",
    "LIKE": r"(tenant_id::text || 'x') LIKE (tenant_id::text || '\')",
    "jsonb": "(tenant_id::text || ']')::jsonb @> '1'::jsonb",
    "cast": "(tenant_id::text || 'x')::bigint = 0",
}
# What functions take, by its type: that of the first tenant.
BROUGHT = {"integer": str(FIRST), "bigint": str(FIRST), "text": f"'{WORD}'"}


@pytest.fixture
def everything(owner: Engine) -> Iterator[Connection]:
    """The owner's transaction with all these rows."""
    with planted_everywhere(owner) as connection:
        yield connection


def told(connection: Connection, tenant: int, query: str) -> list[tuple[object, ...]]:
    """What the application is answered in the tenant's name."""
    as_application(connection, str(tenant))
    rows = [tuple(row) for row in connection.execute(text(query))]
    connection.execute(text("RESET ROLE"))
    return rows


def fails(connection: Connection, tenant: int, query: str) -> bool:
    """Whether the query fails in the tenant's name."""
    savepoint = connection.begin_nested()
    try:
        assert told(connection, tenant, query) == [(0,)]
    except DBAPIError:
        return True
    finally:
        savepoint.rollback()
    return False


def shows_others(connection: Connection) -> list[str]:
    """Views that show anybody more or less than their own rows: each of the two, and a third."""
    owns = {FIRST: [(FIRST,)], SECOND: [(SECOND,)], -1: []}
    return [
        f"{name} to {tenant}"
        for name in views(connection)
        for tenant, own in owns.items()
        if told(connection, tenant, f'SELECT DISTINCT tenant_id FROM "{name}"') != own
    ]


def tells_of_others(connection: Connection) -> list[str]:
    """Functions that tell the second tenant of the first one's numbers what nobody's do not give.

    Those that run with their owner's rights have their reasons in DEFINERS.
    """
    found = []
    called = {one for role in ROLES for one in functions(connection, role)}
    for function in sorted(one for one in called if one.name not in DEFINERS):
        theirs = ", ".join(BROUGHT[kind] for kind in function.takes)
        query = f"SELECT {function.name}({theirs})"
        nobodys = told(connection, SECOND, query.replace(str(FIRST), "-1"))
        mine = told(connection, FIRST, query)
        assert mine != nobodys, f"{function.name} tells nobody anything: plant what it finds"
        if told(connection, SECOND, query) != nobodys:
            found.append(function.name)
    return found


def test_views_and_functions_tell_of_ones_own_alone(everything: Connection) -> None:
    """Every view and every function that a role may call, whatever is asked of it."""
    assert "operation_statuses" in views(everything)
    assert "last_position" in {one.name for one in functions(everything, ROLES[0])}
    assert shows_others(everything) == []
    assert tells_of_others(everything) == []


def test_a_new_one_that_tells_is_found(everything: Connection) -> None:
    """A view of its owner's rights, and a function that asks in another's name."""
    for statement in (
        "ALTER TABLE ledgers NO FORCE ROW LEVEL SECURITY",
        "CREATE VIEW leak AS SELECT tenant_id FROM ledgers",
        "CREATE FUNCTION leaking(bigint) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER"
        " AS 'SELECT count(*) FROM ledgers WHERE tenant_id = $1'",
        "GRANT SELECT ON leak TO trident_app",
        "GRANT EXECUTE ON FUNCTION leaking(bigint) TO trident_app",
    ):
        everything.execute(text(statement))
    assert shows_others(everything) == [f"leak to {one}" for one in (FIRST, SECOND, -1)]
    assert tells_of_others(everything) == ["leaking"]


@pytest.mark.parametrize("operator", TELLING)
def test_no_operator_sees_a_row_before_its_policy(everything: Connection, operator: str) -> None:
    """Of every table and view: no row of another's, by whichever scan, comes to the operator."""
    names = [one.name for one in tables(everything, ROLES[0]) if one.has_tenant]
    for scan in ("on", "off"):
        everything.execute(text(f"SET LOCAL enable_seqscan = {scan}"))
        for name in [*names, *views(everything)]:
            query = f'SELECT count(*) FROM "{name}" WHERE {TELLING[operator]}'
            assert fails(everything, FIRST, query), f"{name}: {operator} does not fail at all"
            assert not fails(everything, -1, query), f"{name}: {operator} sees another's row"
