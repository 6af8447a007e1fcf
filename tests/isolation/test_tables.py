"""Every table as the catalog lists it: what a second tenant can see of it and do to it is nothing.

A row of the first tenant's stands in the table for the length of a transaction, with every other
guard off: what refuses, or does not find it, are privileges and row-level security alone.
"""

import io

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tests.isolation.schema import (
    FIRST,
    INSTALLATION,
    OF_NO_TENANT,
    ROLES,
    SECOND,
    Table,
    as_application,
    columns,
    planted,
    say_tenant,
    tables,
)

# What the setting may be for somebody who is not the first tenant. Unset is '' on a connection that
# was used before, and NULL on a new one: test_settings.py has that.
OTHERS = ("", str(SECOND), INSTALLATION, "-1")
DENIED = "42501"  # insufficient_privilege: by grants and by policies alike


def reachable(owner: Engine, role: str = "trident_app") -> list[Table]:
    """The tables of tenants that the role reaches."""
    with owner.connect() as connection:
        return [table for table in tables(connection, role) if table.name not in OF_NO_TENANT]


def denied(connection: Connection, statement: str) -> bool:
    """Whether it is refused for want of a right; what else it breaks is raised."""
    savepoint = connection.begin_nested()
    try:
        connection.execute(text(statement))
    except DBAPIError as error:
        savepoint.rollback()
        if getattr(error.orig, "pgcode", None) != DENIED:
            raise
        return True
    savepoint.rollback()
    return False


def bare(connection: Connection) -> set[str]:
    """Tables without tenant_id that a role reaches and that nobody gave a reason for."""
    found = {one.name for role in ROLES for one in tables(connection, role) if not one.has_tenant}
    return found - set(OF_NO_TENANT)


def loose(connection: Connection) -> list[str]:
    """Tables that do not force their policies on everybody."""
    found = connection.execute(
        text(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
            " AND NOT (relrowsecurity AND relforcerowsecurity)"
        )
    )
    return list(found.scalars())


def test_every_table_belongs_to_tenants(owner: Engine) -> None:
    """Or is listed with the reason why it belongs to none."""
    with owner.connect() as connection:
        assert bare(connection) == set()


def test_every_table_forces_its_policies(owner: Engine) -> None:
    """Those of no tenant as well; partitions too, which do not ask their parent's."""
    with owner.connect() as connection:
        assert loose(connection) == []


def test_a_new_table_that_is_unprotected_is_found(owner: Engine) -> None:
    """So is one without a tenant, and a partition whose parent alone has policies."""
    with owner.connect() as connection:
        for statement in (
            "CREATE TABLE leak_none (secret text)",
            "CREATE TABLE leak_open (tenant_id integer)",
            "CREATE TABLE leak_parent (tenant_id integer) PARTITION BY LIST (tenant_id)",
            "ALTER TABLE leak_parent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            "CREATE TABLE leak_part PARTITION OF leak_parent DEFAULT",
            "GRANT SELECT ON leak_none, leak_open, leak_parent, leak_part TO trident_app",
        ):
            connection.execute(text(statement))
        assert bare(connection) == {"leak_none"}
        assert sorted(loose(connection)) == ["leak_none", "leak_open", "leak_part"]
        connection.rollback()


def test_the_application_has_one_policy_for_each_table(owner: Engine) -> None:
    """The same for all: its tenant's rows, read and written; what else there is only narrows.

    The setting is asked for once a statement (a sub-select), and '' is taken for none.
    """
    with owner.connect() as connection:
        found = connection.execute(
            text(
                "SELECT c.relname, p.polcmd::text, pg_get_expr(p.polqual, p.polrelid),"
                " pg_get_expr(p.polwithcheck, p.polrelid)"
                " FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid"
                " WHERE p.polpermissive AND (p.polroles = '{0}'"
                " OR 'trident_app'::regrole = ANY (p.polroles))"
            )
        ).all()
    rule = (
        "(tenant_id = ( SELECT (NULLIF(current_setting('trident.tenant'::text, true),"
        """ ''::text))::integer AS "nullif"))"""
    )
    of_tenants = sorted(tuple(row) for row in found if row[0] not in OF_NO_TENANT)
    names = sorted(table.name for table in reachable(owner))
    assert of_tenants == [(name, "*", rule, rule) for name in names]


@pytest.mark.parametrize("tenant", OTHERS)
def test_nobody_else_sees_or_touches_a_row(owner: Engine, tenant: str) -> None:
    """SELECT, UPDATE and DELETE find nothing, or are not granted; the tenant itself sees it."""
    for table in reachable(owner):
        with planted(owner, table.name) as connection:
            as_application(connection, str(FIRST))
            name = f'"{table.name}"'
            count = text(f"SELECT count(*) FROM {name}")
            assert connection.execute(count).scalar() == 1, f"{table.name} hides its own row"
            say_tenant(connection, tenant)
            assert connection.execute(count).scalar() == 0, f"{table.name} shows a row to {tenant}"
            for column in columns(connection, table.name):
                update = f'UPDATE {name} SET "{column}" = NULL'
                if not denied(connection, update):
                    assert touched(connection, update) == 0, f"{table.name}.{column}"
            delete = f"DELETE FROM {name}"
            if not denied(connection, delete):
                assert touched(connection, delete) == 0, f"{table.name} lets go of a row"


def touched(connection: Connection, statement: str) -> int:
    """How many rows it changes; it is taken back."""
    savepoint = connection.begin_nested()
    rows = connection.execute(text(statement)).rowcount
    savepoint.rollback()
    return rows


@pytest.mark.parametrize("tenant", OTHERS)
def test_nobody_writes_a_row_of_another(owner: Engine, tenant: str) -> None:
    """INSERT for the first tenant is refused by the policy, whatever else the row may be."""
    for table in reachable(owner):
        with planted(owner, table.name) as connection:
            as_application(connection, tenant)
            insert = f'INSERT INTO "{table.name}" (tenant_id) VALUES ({FIRST})'
            assert denied(connection, insert), f"{table.name} takes another tenant's row"


def test_nobody_gives_a_row_away(owner: Engine) -> None:
    """UPDATE of tenant_id is not granted, or refused by the policy: no row moves to another."""
    for table in reachable(owner):
        with planted(owner, table.name) as connection:
            as_application(connection, str(FIRST))
            update = f'UPDATE "{table.name}" SET tenant_id = {SECOND}'
            assert denied(connection, update), table.name


def test_copy_shows_nothing(owner: Engine) -> None:
    """COPY out is a query like any other; COPY in is refused where there are policies."""
    for table in reachable(owner):
        with planted(owner, table.name) as connection:
            as_application(connection, str(SECOND))
            assert copied(connection, f'"{table.name}"') == "", table.name
            assert copied(connection, f'(SELECT * FROM "{table.name}")') == "", table.name


def copied(connection: Connection, what: str) -> str:
    """What COPY gives of it."""
    into = io.StringIO()
    raw = connection.connection.driver_connection
    assert raw is not None
    with raw.cursor() as cursor:
        cursor.copy_expert(f"COPY {what} TO STDOUT", into)
    return into.getvalue()


@pytest.mark.parametrize("role", ROLES)
def test_nobody_empties_a_table(owner: Engine, role: str) -> None:
    """TRUNCATE passes policies by, so nobody has it; nor triggers and references."""
    with owner.connect() as connection:
        for table in tables(connection, role):
            assert not table.privileges & {"TRUNCATE", "TRIGGER", "REFERENCES", "MAINTAIN"}, table


def test_a_row_that_is_refused_shows_nothing_of_it(owner: Engine) -> None:
    """The error of a policy names the table, and no value."""
    with planted(owner, "accounts") as connection:
        as_application(connection, str(SECOND))
        insert = f"INSERT INTO accounts (tenant_id, code) VALUES ({FIRST}, 'secret')"
        with pytest.raises(DBAPIError) as refused:
            connection.execute(text(insert))
        assert "row-level security" in str(refused.value.orig)
        assert "secret" not in str(refused.value.orig)
