"""All else that the catalog lists: views, functions, sequences, keys, and what roles may become."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from cli.stack.datadir import SUPERUSER
from cli.stack.home import Home
from models import outside
from models.db import make_engine
from tests.isolation.schema import (
    DEFINERS,
    FIRST,
    LEAVING_NOTHING,
    OF_NO_TENANT,
    ROLES,
    UNIQUE_OVER_ALL,
)

# What the sweeper needs to see of all tenants has one of these types: numbers, days and times.
HARMLESS = {"smallint", "integer", "bigint", "boolean", "date", "timestamp with time zone"}
# Words that it sees, and why they tell nothing of anybody.
HARMLESS_WORDS = {
    "runs.stage": "one of five names",
    "ledgers.name": "workers are told of a ledger by its name, in logs and errors as well",
}


def rows(connection: Connection, query: str) -> list[tuple[object, ...]]:
    """What the query finds."""
    return [tuple(row) for row in connection.execute(text(query))]


def refused(connection: Connection, statement: str) -> str:
    """The SQLSTATE with which it is refused; it must be."""
    with pytest.raises(DBAPIError) as error:
        connection.execute(text(statement))
    connection.rollback()
    return str(getattr(error.value.orig, "pgcode", ""))


def test_every_view_asks_in_the_name_of_who_asks(owner: Engine) -> None:
    """security_invoker on each: without it a view shows what its owner may see."""
    with owner.connect() as connection:
        found = rows(
            connection,
            "SELECT relname, coalesce('security_invoker=true' = ANY (reloptions), false)"
            " FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace",
        )
        assert found
        assert [name for name, invoker in found if not invoker] == []


def test_there_is_nothing_that_has_no_policies(owner: Engine) -> None:
    """Materialized views and foreign tables cannot have any: there are none."""
    with owner.connect() as connection:
        query = "SELECT relname FROM pg_class WHERE relkind IN ('m', 'f')"
        assert rows(connection, query) == []


def test_functions_run_as_who_calls_them(owner: Engine) -> None:
    """Each SECURITY DEFINER is listed with its reason, fixes its search_path, and is not public."""
    with owner.connect() as connection:
        found = rows(
            connection,
            "SELECT proname::text, coalesce(proconfig::text, '') LIKE '%search_path=%',"
            " EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))"
            " WHERE grantee = 0) FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND prosecdef",
        )
        assert sorted(str(name) for name, *_ in found) == sorted(DEFINERS)
        assert [name for name, fixed, public in found if public or not fixed] == []


def test_functions_are_of_languages_that_ask_for_rights(owner: Engine) -> None:
    """SQL and PL/pgSQL only, and no extension that brings others."""
    with owner.connect() as connection:
        query = (
            "SELECT DISTINCT lanname::text FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang"
            " WHERE pronamespace = 'public'::regnamespace"
        )
        assert {name for (name,) in rows(connection, query)} <= {"sql", "plpgsql"}
        assert rows(connection, "SELECT extname::text FROM pg_extension") == [("plpgsql",)]


@pytest.mark.parametrize("role", ROLES)
def test_nothing_is_written_outside_of_tables(owner: Engine, role: str) -> None:
    """Each function of any schema that could, and that a role may call, is known to leave nothing.

    What stood there would be nobody's by policies, and no erasure would reach it.
    """
    with owner.connect() as connection:
        found = rows(
            connection,
            "SELECT DISTINCT proname::text FROM pg_proc"
            " WHERE provolatile = 'v' AND prorettype NOT IN ('trigger'::regtype,"
            " 'event_trigger'::regtype) AND NOT 'internal'::regtype = ANY (proargtypes::oid[])"
            f" AND has_function_privilege('{role}', oid, 'EXECUTE')"
            " AND pronamespace <> 'public'::regnamespace",
        )
        names = {str(name) for (name,) in found}
        assert "pg_notify" in names
        assert {
            name for name in names if not re.fullmatch("|".join(LEAVING_NOTHING), name)
        } == set()


def test_a_superuser_alone_takes_that_away(env: dict[str, str]) -> None:
    """Where the owner is none, an upgrade says with which statement one does it."""
    password = Home(Path(env["TRIDENT_HOME"])).secrets.read_text()
    address = make_url(env["TRIDENT_OWNER_DATABASE_URL"]).set(
        username=SUPERUSER, password=json.loads(password)[SUPERUSER]
    )
    engine = make_engine(
        address.render_as_string(hide_password=False), statement_timeout_ms=10_000, trusted=True
    )
    with engine.connect() as connection:
        connection.execute(text("GRANT EXECUTE ON FUNCTION lo_creat(integer) TO PUBLIC"))
        connection.execute(text("SET LOCAL ROLE trident_owner"))
        (sentence,) = outside.shut(connection)
        assert sentence.endswith("REVOKE EXECUTE ON FUNCTION lo_creat(integer) FROM PUBLIC")
        connection.execute(text("RESET ROLE"))
        assert outside.shut(connection) == []
        connection.rollback()
    engine.dispose()


@pytest.mark.parametrize("role", ROLES)
def test_sequences_tell_nobody_how_much_others_do(owner: Engine, role: str) -> None:
    """Identities count without a right of the one who inserts: no role reads or moves one."""
    with owner.connect() as connection:
        query = (
            "SELECT relname FROM pg_class WHERE relkind = 'S'"
            " AND relnamespace = 'public'::regnamespace AND"
            f" (has_sequence_privilege('{role}', oid, 'USAGE') OR"
            f" has_sequence_privilege('{role}', oid, 'SELECT') OR"
            f" has_sequence_privilege('{role}', oid, 'UPDATE'))"
        )
        assert rows(connection, query) == []


def test_no_key_is_an_oracle(owner: Engine) -> None:
    """Each unique index has the tenant in it: a conflict speaks of one's own rows.

    Unique checks pass policies by, so a key over all tenants would tell what others have.
    """
    with owner.connect() as connection:
        found = rows(
            connection,
            "SELECT i.indexrelid::regclass::text FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indrelid"
            " WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique"
            " AND c.relname <> 'alembic_version' AND NOT EXISTS (SELECT FROM pg_attribute a"
            " WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
            " AND a.attname = 'tenant_id' AND i.indrelid <> 'tenants'::regclass)"
            " AND NOT (i.indrelid = 'tenants'::regclass AND i.indisprimary)",
        )
        unlisted = {str(name) for (name,) in found} - set(UNIQUE_OVER_ALL)
        assert unlisted == set(), "name the reason in UNIQUE_OVER_ALL, or lead with tenant_id"


def test_no_reference_crosses_tenants(owner: Engine) -> None:
    """Each foreign key has tenant_id on both sides at the same place.

    Foreign keys pass policies by: one without the tenant could name another tenant's row, and
    would tell whether it is there.
    """
    with owner.connect() as connection:
        found = rows(
            connection,
            "SELECT conrelid::regclass::text, conname::text FROM pg_constraint f"
            " WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND NOT EXISTS ("
            "SELECT FROM unnest(f.conkey, f.confkey) AS k (here, there)"
            " JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.here"
            " JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.there"
            " WHERE a.attname = 'tenant_id' AND b.attname = 'tenant_id')",
        )
        assert [one for one in found if one[0] not in OF_NO_TENANT] == []


def test_the_sweeper_sees_numbers_and_times(owner: Engine) -> None:
    """No column of all tenants' that it reads could hold what anybody wrote; it writes nothing."""
    with owner.connect() as connection:
        found = rows(
            connection,
            "SELECT c.relname || '.' || a.attname, format_type(a.atttypid, NULL),"
            " has_column_privilege('trident_sweeper', c.oid, a.attnum, 'INSERT')"
            " OR has_column_privilege('trident_sweeper', c.oid, a.attnum, 'UPDATE')"
            " OR has_table_privilege('trident_sweeper', c.oid, 'DELETE')"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')"
            " AND NOT a.attisdropped AND has_any_column_privilege('trident_sweeper', c.oid,"
            " 'SELECT, INSERT, UPDATE')"
            " AND has_column_privilege('trident_sweeper', c.oid, a.attnum,"
            " 'SELECT, INSERT, UPDATE')",
        )
        assert found
        assert [name for name, _, writes in found if writes] == []
        wordy = {str(name) for name, kind, _ in found if kind not in HARMLESS}
        assert wordy == set(HARMLESS_WORDS)


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE trident_owner",
        "SET ROLE {other}",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "SET session_replication_role = replica",
        "ALTER TABLE operations DISABLE TRIGGER ALL",
        "ALTER TABLE operations NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY operations_of_tenant ON operations",
        "CREATE POLICY mine ON operations USING (true)",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "GRANT trident_owner TO CURRENT_USER",
        "CREATE TABLE mine (a integer)",
        "CREATE TEMPORARY TABLE operations (a integer)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION pg_temp.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/dev/null'",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT lo_import('/etc/hostname')",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'kept')",
        "SELECT lo_open(1, 131072)",
        "SELECT pg_logical_emit_message(false, 'kept', 'in the log')",
        "SELECT pg_export_snapshot()",
        "SELECT pg_create_physical_replication_slot('kept')",
        "SELECT * FROM pg_statistic",
        "SELECT * FROM pg_authid",
    ],
)
def test_a_role_does_not_become_more(
    application: Connection, sweeper: Connection, statement: str
) -> None:
    """Neither the application's nor the sweeper's: insufficient_privilege for each.

    A temporary table would be found before the table of that name, by guards as well.
    """
    for connection, other in ((application, ROLES[1]), (sweeper, ROLES[0])):
        code = refused(connection, statement.format(other=other))
        assert code == "42501", f"{code}: {statement}"


def test_policies_are_not_switched_off(application: Connection) -> None:
    """`row_security = off` makes an error of what it would have hidden."""
    application.execute(text("SET LOCAL row_security = off"))
    assert refused(application, "SELECT count(*) FROM operations") == "42501"


def test_statistics_show_no_values(owner: Engine, application: Connection) -> None:
    """The planner's samples are of all tenants: none of a table with policies is shown."""
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE ledgers"))
    application.execute(text(f"SELECT set_config('trident.tenant', '{FIRST}', true)"))
    shown = rows(
        application,
        "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'"
        " UNION SELECT DISTINCT tablename FROM pg_stats_ext WHERE schemaname = 'public'",
    )
    assert shown == []
