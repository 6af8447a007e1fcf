"""What the catalog says is in the database, and rows of any table that stand there for a moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

# Whose rows are planted, and who looks for them. Rows are planted for a transaction that is rolled
# back, so that these tenants need not be there.
FIRST, SECOND = 900_001, 900_002
# Rows that are nobody's but the installation's stand under this one.
INSTALLATION = "0"
ROLES = ("trident_app", "trident_sweeper")
LET_OWNER_BE_APPLICATION = f"GRANT {ROLES[0]} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE"
# What a function that takes a text knows: a stage.
WORD = "accept"

# Tables of no tenant that a running process may reach, and why that is right.
OF_NO_TENANT = {
    "signing_keys": "every process verifies tokens of every tenant with the same public keys",
}
# Functions that run with their owner's rights, and why they must; each is also held to fix its
# search_path.
DEFINERS: dict[str, str] = {
    "tenant_named": "who signs in names the tenant before there is one: a number by a name",
    "cors_origins": "a browser asks before it brings a token: origins that some tenant allows",
}
# Functions that may do more than give a value, as patterns of their whole names, and why none of
# them leaves anything outside of tables. A Postgres that brings another one fails the test.
LEAVING_NOTHING = {
    r"clock_timestamp|timeofday|(array_)?(random|sample|shuffle)(_normal)?|setseed"
    r"|gen_random_uuid|uuidv[47]|pg_sleep(_for|_until)?|set_config": "of the session alone",
    r"current_query|currtid2|pg_(stat_)?get_\w+|pg_\w+_size|pg_(current|last)_\w+|pg_control_\w+"
    r"|pg_\w*collation_actual_version|pg_is_\w+|pg_jit_available|pg_lock_status|pg_prepared_xact"
    r"|pg_\w+_pids|pg_isolation_\w+|pg_notification_queue_usage|pg_partition_\w+|pg_\w*wal_summar\w+"
    r"|pg_xact_\w+|txid_status|pg_sequence_last_value|(cursor|query)_to_xml\w*|ts_stat|ts_rewrite"
    r"|pg_stat_clear_snapshot|pg_stat_force_next_flush": "reads, or counts what was read",
    r"lo_(close|get|(lseek|tell)(64)?)|loread": "reads large objects; there are none",
    r"pg_(try_)?advisory_\w+": "locks, gone with the session",
    r"pg_notify": "announcements, gone once they are heard",
    r"pg_(cancel|terminate)_backend": "ends what the same role has asked",
    r"currval|lastval|nextval|setval": "sequences, on which no role has a right",
    r"pg_(clear|restore)_(attribute|relation)_stats|brin_\w+|gin_clean_pending_list|amvalidate"
    r"|pg_extension_config_dump|plpgsql_\w+": "asks for the owner's right on the table",
    r"pg_\w*slots?\w*|pg_stop_making_pinned_objects|pg_import_system_collations|pg_nextoid"
    r"|binary_upgrade_\w+": "asks for the superuser, for the right to replicate, or for pg_upgrade",
}
# Unique indexes that do not begin with the tenant, and why another tenant's conflict tells nothing.
UNIQUE_OVER_ALL = {
    "attempts_pkey": "the database counts it; nobody looks an attempt up by it",
    "tenants_name_key": "only the owner names tenants",
    "signing_keys_pkey": "of no tenant",
    "signing_keys_public_key_key": "of no tenant",
}


class Table(NamedTuple):
    """A relation that holds rows, and the privileges that a role has on it."""

    name: str
    has_tenant: bool
    privileges: frozenset[str]


def tables(connection: Connection, role: str) -> list[Table]:
    """Tables and partitions that the role may do anything with, to any column of them."""
    found = connection.execute(
        text(
            "SELECT c.relname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid"
            " AND a.attname = 'tenant_id' AND NOT a.attisdropped),"
            " (SELECT array_agg(p) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p"
            " WHERE has_any_column_privilege(:role, c.oid, p))::text[]"
            " || (SELECT array_agg(p) FROM unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER',"
            " 'MAINTAIN']) p WHERE has_table_privilege(:role, c.oid, p))::text[]"
            " FROM pg_class c WHERE c.relkind IN ('r', 'p', 'f')"
            " AND c.relnamespace = 'public'::regnamespace ORDER BY 1"
        ),
        {"role": role},
    )
    every = [Table(name, has, frozenset(may or ())) for name, has, may in found]
    return [table for table in every if table.privileges]


class Function(NamedTuple):
    """A function of ours, and the types that it takes."""

    name: str
    takes: tuple[str, ...]


def functions(connection: Connection, role: str) -> list[Function]:
    """Those that the role may call; triggers are called by statements alone."""
    found = connection.execute(
        text(
            "SELECT proname, (SELECT coalesce(array_agg(format_type(t, NULL) ORDER BY n), '{}')"
            " FROM unnest(proargtypes::oid[]) WITH ORDINALITY AS a (t, n)) FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype"
            " AND has_function_privilege(:role, oid, 'EXECUTE') ORDER BY 1"
        ),
        {"role": role},
    )
    return [Function(name, tuple(takes)) for name, takes in found]


def views(connection: Connection) -> list[str]:
    """All of ours."""
    query = (
        "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
    )
    return list(connection.execute(text(query)).scalars())


@contextmanager
def planted_everywhere(owner: Engine) -> Iterator[Connection]:
    """The same with a row of FIRST's and one of SECOND's in each table that the application
    reaches: each number of a row is its tenant's, each text is WORD."""
    with owner.connect() as connection:
        transaction = connection.begin()
        try:
            connection.execute(text(LET_OWNER_BE_APPLICATION))
            for table in tables(connection, ROLES[0]):
                if table.has_tenant:
                    _disarm(connection, table.name)
                    for tenant in (FIRST, SECOND):
                        _fill(connection, table.name, tenant)
            yield connection
        finally:
            transaction.rollback()


def _fill(connection: Connection, table: str, tenant: int) -> None:
    """A row of the tenant's, in which all stands that fits."""
    values = {"integer": str(tenant), "bigint": str(tenant), "text": f"'{WORD}'"}
    found = connection.execute(
        text(
            "SELECT quote_ident(attname), format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped"
            " AND attgenerated = ''"
        ),
        {"table": f'"{table}"'},
    )
    row = {name: values[kind] for name, kind in found if kind in values}
    say_tenant(connection, str(tenant))
    insert = f'INSERT INTO "{table}" ({", ".join(row)}) VALUES ({", ".join(row.values())})'
    connection.execute(text(insert))


@contextmanager
def planted(owner: Engine, table: str) -> Iterator[Connection]:
    """The owner's transaction, rolled back at the end, in which a row of FIRST's is in the table.

    All that could refuse an empty row is dropped within it, so that any table takes one: only
    privileges and policies are left to refuse anything.
    """
    with owner.connect() as connection:
        transaction = connection.begin()
        try:
            _disarm(connection, table)
            connection.execute(text(LET_OWNER_BE_APPLICATION))
            name = f'"{table}"'
            # What is nobody's but the installation's stands under tenant 0
            # (pipeline/identity/lockout.py): it is shown to that one, and not what is asked here.
            say_tenant(connection, INSTALLATION)
            connection.execute(text(f"DELETE FROM {name} WHERE tenant_id = {INSTALLATION}"))
            say_tenant(connection, str(FIRST))
            connection.execute(text(f"INSERT INTO {name} (tenant_id) VALUES ({FIRST})"))
            yield connection
        finally:
            transaction.rollback()


def as_application(connection: Connection, tenant: str) -> None:
    """From here on the application's role, in a tenant's name."""
    connection.execute(text(f"SET LOCAL ROLE {ROLES[0]}"))
    say_tenant(connection, tenant)


def say_tenant(connection: Connection, tenant: str) -> None:
    """Whose transaction it is from here on."""
    connection.execute(
        text("SELECT set_config('trident.tenant', :tenant, true)"), {"tenant": tenant}
    )


def columns(connection: Connection, table: str) -> list[str]:
    """The names of a table's columns."""
    found = connection.execute(
        text(
            "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass)"
            " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ),
        {"table": f'"{table}"'},
    )
    return list(found.scalars())


def _disarm(connection: Connection, table: str) -> None:
    """Drop the table's constraints, identities and NOT NULLs, and disable its triggers."""
    name = f'"{table}"'
    connection.execute(text(f"ALTER TABLE {name} DISABLE TRIGGER USER"))
    constraints = connection.execute(
        text(
            "SELECT conname FROM pg_constraint WHERE conrelid = CAST(:table AS regclass)"
            " AND contype IN ('p', 'u', 'c', 'f', 'x') ORDER BY contype = 'p'"
        ),
        {"table": name},
    ).scalars()
    for constraint in list(constraints):
        connection.execute(text(f'ALTER TABLE {name} DROP CONSTRAINT "{constraint}" CASCADE'))
    filled = connection.execute(
        text(
            "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass)"
            " AND attnum > 0 AND NOT attisdropped AND attnotnull"
        ),
        {"table": name},
    ).scalars()
    for column in list(filled):
        connection.execute(text(f'ALTER TABLE {name} ALTER "{column}" DROP IDENTITY IF EXISTS'))
        connection.execute(text(f'ALTER TABLE {name} ALTER "{column}" DROP NOT NULL'))
