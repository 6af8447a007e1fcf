"""What the database refuses by itself, whatever the code above it does."""

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.db import app_engine, make_engine, raw_connection, set_tenant
from pipeline.accept import rollback
from pipeline.drain import drain
from pipeline.verify.verify import verify
from tests.bank import Bank, new_ledger, transfer

APPEND_ONLY = (
    "operations",
    "idempotency_keys",
    "rejections",
    "postings",
    "runs",
    "audit_blocks",
    "decisions",
)
# Those of which the books here hold no rows; tests/reconcile has them.
ELSEWHERE = (
    "external_statements",
    "external_lines",
    "bookings",
    "matches",
    "matched_lines",
    "matched_postings",
    "csv_mappings",
)
# What belongs to no tenant: the application's role may read it and do nothing else.
OF_THE_INSTALLATION = ("signing_keys",)


def fill(bank: Bank) -> Bank:
    """world and a, with 5.00 EUR paid in; one operation is rejected, and one waits for post."""
    bank.fund("a", 500)
    bank.transfer("a", "world", 10_000)
    bank.work()
    bank.transfer("a", "world", 100)
    drain("validate", bank.ledger)
    drain("authorize", bank.ledger)
    return bank


@pytest.fixture(scope="module")
def books(module_env: dict[str, str]) -> Iterator[Bank]:
    """Books for whatever is refused, which leaves them as they are: in the end they go on."""
    made = fill(Bank(new_ledger()))
    yield made
    made.work()
    assert made.balance("a") == 400
    assert [finding.fault for finding in verify(made.ledger) if finding.fault] == []


@pytest.fixture(scope="module")
def held(module_env: dict[str, str]) -> Bank:
    """Such books, worked to their end, and a hold."""
    made = fill(Bank(new_ledger()))
    made.submit("hold", transfer("a", "world", 1))
    made.work()
    return made


def attempt(bank: Bank, statement: str, *, tenant: int | None = None) -> None:
    """The statement as the application's role, `:ledger` filled in; commits if it can."""
    with raw_connection(app_engine()) as connection:
        cursor = connection.cursor()
        try:
            cursor.execute("BEGIN")
            cursor.execute(
                "SELECT set_config('trident.tenant', %s, true)",
                (str(tenant or bank.ledger.tenant_id),),
            )
            cursor.execute(statement.replace(":ledger", str(bank.ledger.ledger_id)))
            cursor.execute("COMMIT")
        finally:
            rollback(connection)


POSTINGS = (
    "INSERT INTO postings (position, version, amount, balance_after, tenant_id, ledger_id,"
    " account, leg, currency, pending) VALUES "
)
# After `fill`: world is account 1, version 1, balance -500; a is account 2, version 1, 500.
# Operations 1 and 2 open them, 3 is posted, 4 is rejected, 5 waits for post.
TAKE = (
    "UPDATE accounts SET debits_posted = 100, version = 2 WHERE ledger_id = :ledger AND number = 2;"
    "UPDATE accounts SET credits_posted = 100, version = 2"
    " WHERE ledger_id = :ledger AND number = 1;"
)
BAD: dict[str, str] = {
    "does not sum to zero": POSTINGS
    + "(5, 2, -100, 400, 1, :ledger, 2, 0, 'EUR', false),"
    + "(5, 2, 99, -401, 1, :ledger, 1, 1, 'EUR', false)",
    "are not 0 to n - 1": POSTINGS
    + "(5, 2, -100, 400, 1, :ledger, 2, 0, 'EUR', false),"
    + "(5, 2, 100, -400, 1, :ledger, 1, 2, 'EUR', false)",
    "was rejected": POSTINGS
    + "(4, 2, -100, 400, 1, :ledger, 2, 0, 'EUR', false),"
    + "(4, 2, 100, -400, 1, :ledger, 1, 1, 'EUR', false)",
    "positions 6 to 6 are not authorized": POSTINGS
    + "(6, 2, -100, 400, 1, :ledger, 2, 0, 'EUR', false),"
    + "(6, 2, 100, -400, 1, :ledger, 1, 1, 'EUR', false)",
    "does not continue the one before": POSTINGS
    + "(5, 3, -100, 400, 1, :ledger, 2, 0, 'EUR', false),"
    + "(5, 2, 100, -400, 1, :ledger, 1, 1, 'EUR', false)",
    "version 2 of account 2 does not continue": POSTINGS
    + "(5, 2, -100, 401, 1, :ledger, 2, 0, 'EUR', false),"
    + "(5, 2, 100, -400, 1, :ledger, 1, 1, 'EUR', false)",
    "of account 1 does not continue": POSTINGS
    + "(5, 2, -100, -600, 1, :ledger, 1, 0, 'USD', false),"
    + "(5, 3, 100, -500, 1, :ledger, 1, 1, 'USD', false)",
    "is not at version 2 with that balance": POSTINGS
    + "(5, 2, -100, 400, 1, :ledger, 2, 0, 'EUR', false),"
    + "(5, 2, 100, -400, 1, :ledger, 1, 1, 'EUR', false)",
    "accounts_within_limit": "UPDATE accounts SET debits_posted = 501, version = 2"
    " WHERE ledger_id = :ledger AND number = 2",
    "may only change with a new version": "UPDATE accounts SET credits_posted = 501"
    " WHERE ledger_id = :ledger AND number = 2",
    "the totals of x may only": "INSERT INTO accounts (tenant_id, ledger_id, number, currency,"
    " code, type, credits_posted) VALUES (1, :ledger, 3, 'EUR', 'x', 'liability', 5)",
    "accounts_closed_at_zero": "UPDATE accounts SET status = 'closed'"
    " WHERE ledger_id = :ledger AND number = 2",
    "permission denied for table accounts": "UPDATE accounts SET code = 'b'"
    " WHERE ledger_id = :ledger AND number = 2",
    "its last run ended at 5": "INSERT INTO runs (from_position, to_position, tenant_id,"
    " ledger_id, stage) VALUES (7, 7, 1, :ledger, 'validate')",
    "runs_pkey": "INSERT INTO runs (from_position, to_position, tenant_id,"
    " ledger_id, stage) VALUES (5, 5, 1, :ledger, 'validate')",
    "validate begins at 2, but its last run ended at 3": "INSERT INTO runs (from_position,"
    " to_position, tenant_id, ledger_id, stage) VALUES (2, 5, 1, :ledger, 'validate')",
    "audit may not pass post": "INSERT INTO runs (from_position,"
    " to_position, tenant_id, ledger_id, stage) VALUES (1, 1, 1, 999999, 'audit')",
    "validate may not pass accept": "INSERT INTO runs (from_position, to_position, tenant_id,"
    " ledger_id, stage) VALUES (6, 6, 1, :ledger, 'validate')",
    "post may not pass authorize": "INSERT INTO runs (from_position, to_position, tenant_id,"
    " ledger_id, stage) VALUES (5, 6, 1, :ledger, 'post')",
    "the operation at 3 has postings": "INSERT INTO rejections (position, tenant_id,"
    " ledger_id, stage, code, detail) VALUES (3, 1, :ledger, 'post', 'x', '{}')",
    "positions 6 to 6 are not of one log": "INSERT INTO rejections (position, tenant_id,"
    " ledger_id, stage, code, detail) VALUES (6, 1, :ledger, 'post', 'x', '{}')",
    "has no predecessor": "INSERT INTO operations (position, accepted_at, tenant_id, ledger_id,"
    " id, kind, idempotency_key, body, principal)"
    " VALUES (7, now(), 1, :ledger, gen_random_uuid(), 'transfer', 'k', '{}', '{}')",
    "have gaps": "INSERT INTO operations (position, accepted_at, tenant_id, ledger_id,"
    " id, kind, idempotency_key, body, principal)"
    " SELECT n, now(), 1, :ledger, gen_random_uuid(), 'transfer', 'k', '{}', '{}'"
    " FROM unnest('{6,8}'::int[]) n",
    "runs backwards": "INSERT INTO operations (position, accepted_at, tenant_id, ledger_id,"
    " id, kind, idempotency_key, body, principal)"
    " VALUES (6, '2020-01-01', 1, :ledger, gen_random_uuid(), 'transfer', 'k', '{}', '{}')",
    "no operation with this key at position 5": "INSERT INTO idempotency_keys"
    " VALUES (5, 1, :ledger, gen_random_uuid())",
    "does not continue the chain": "INSERT INTO audit_blocks SELECT from_position, to_position,"
    " tenant_id, ledger_id, height + 1, leaf_count, previous_hash, root, hash FROM audit_blocks"
    " WHERE ledger_id = :ledger ORDER BY height DESC LIMIT 1",
    "one statement, one ledger": "INSERT INTO operations (position, accepted_at, tenant_id,"
    " ledger_id, id, kind, idempotency_key, body, principal)"
    " SELECT 6, now(), 1, n, gen_random_uuid(), 'transfer', 'k', '{}', '{}'"
    " FROM unnest(ARRAY[:ledger, 999999]) n",
    "positions 1 to 1 are not of one log": "INSERT INTO rejections (position, tenant_id,"
    " ledger_id, stage, code, detail)"
    " SELECT p, 1, l, 'post', 'x', '{}' FROM (VALUES (5, :ledger), (1, 999999)) n (p, l)",
    "positions 1 to 1 are not authorized": POSTINGS
    + "(1, 1, -100, -100, 1, 999999, 2, 0, 'EUR', false),"
    + "(1, 1, 100, 100, 1, 999999, 1, 1, 'EUR', false)",
    "the index may not pass notify": "INSERT INTO search_progress (tenant_id, ledger_id, segments)"
    " VALUES (1, :ledger, 1)",
    "2 segments do not follow the ones before": "INSERT INTO search_progress (tenant_id,"
    " ledger_id, segments) VALUES (1, :ledger, 2)",
    "permission denied for table search_index": "UPDATE search_index SET places = ''",
    "permission denied for table search_progress": "DELETE FROM search_progress",
    "search_index_not_empty": "INSERT INTO search_index VALUES (1, :ledger, 0, 0, '', '')",
    "search_index_places_check": "INSERT INTO search_index VALUES (1, :ledger, 0, 0, 'abc', '')",
    "value too long": POSTINGS + "(5, 2, -1, 499, 1, :ledger, 2, 0, 'EURO', false)",
}


@pytest.mark.parametrize("says", BAD)
def test_the_database_refuses_rows_that_cannot_be_true(books: Bank, says: str) -> None:
    """Each false row is refused by the database itself, with a message that names the fault."""
    with pytest.raises(psycopg2.Error, match=says):
        attempt(books, BAD[says])


def test_the_database_takes_rows_that_are_true(bank: Bank) -> None:
    """The guards let the right rows pass: so it is not for another reason that they refuse."""
    attempt(
        fill(bank),
        TAKE
        + POSTINGS
        + "(5, 2, -100, 400, 1, :ledger, 2, 0, 'EUR', false),"
        + "(5, 2, 100, -400, 1, :ledger, 1, 1, 'EUR', false)",
    )
    assert bank.balance("a") == 400


def test_postings_exist_once(books: Bank) -> None:
    """The same leg of the same operation cannot be written twice."""
    with pytest.raises(psycopg2.errors.UniqueViolation):
        attempt(books, POSTINGS + "(3, 9, 1, 1, 1, :ledger, 2, 0, 'EUR', false)")


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {}"]
)
def test_the_application_cannot_change_what_is_append_only(
    books: Bank, table: str, statement: str
) -> None:
    """UPDATE, DELETE and TRUNCATE are no privileges of the application's role."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied"):
        attempt(books, statement.format(table))


@pytest.fixture
def owner(env: dict[str, str]) -> Iterator[Any]:
    """A connection of the owner, rolled back at the end."""
    url = env["TRIDENT_OWNER_DATABASE_URL"]
    engine = make_engine(url, statement_timeout_ms=5000, trusted=True)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.parametrize("table", [*APPEND_ONLY, *ELSEWHERE])
def test_not_even_the_owner_truncates(books: Bank, owner: Any, table: str) -> None:
    """A trigger refuses TRUNCATE to the owner, whom no privilege stops."""
    with pytest.raises(Exception, match="append-only"):
        owner.execute(text(f"TRUNCATE {table}"))


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}"])
def test_not_even_the_owner_changes_rows(
    held: Bank, owner: Any, table: str, statement: str
) -> None:
    """Row triggers refuse UPDATE and DELETE to the owner, who is bound by the policies as well."""
    set_tenant(owner, 1)
    with pytest.raises(Exception, match="append-only"):
        owner.execute(text(statement.format(table)))


@pytest.mark.parametrize("table", [*APPEND_ONLY, *ELSEWHERE])
def test_what_is_append_only_says_so_always(owner: Any, table: str) -> None:
    """The triggers for UPDATE, DELETE and TRUNCATE fire also where a session is a replica's."""
    found = owner.execute(
        text(
            "SELECT array_agg(tgenabled::text || ' ' || (tgtype & 56) ORDER BY tgtype & 56)"
            " FROM pg_trigger WHERE tgrelid = to_regclass(:table)"
            " AND tgfoid = 'refuse_change'::regproc"
        ),
        {"table": table},
    ).scalar_one()
    # 8 is DELETE, 16 UPDATE, 32 TRUNCATE (pg_trigger.h).
    assert found == ["A 24", "A 32"]


def test_no_tenant_sees_another(books: Bank, owner: Any) -> None:
    """Every table and view is empty for a tenant that owns nothing, and for no tenant at all."""
    tables = owner.execute(
        text(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v')"
            " AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
        )
    ).scalars()
    for table in set(tables) - set(OF_THE_INSTALLATION):
        for tenant in ("999999", ""):
            with app_engine().begin() as connection:
                connection.execute(
                    text("SELECT set_config('trident.tenant', :t, true)"), {"t": tenant}
                )
                seen = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            assert seen == 0, table


@pytest.mark.parametrize("table", OF_THE_INSTALLATION)
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {} SELECT * FROM {} LIMIT 0",
        "UPDATE {} SET kek = kek",
        "DELETE FROM {}",
        "TRUNCATE {}",
        "SELECT FROM {} FOR UPDATE",
    ],
)
def test_what_belongs_to_no_tenant_is_only_read(books: Bank, table: str, statement: str) -> None:
    """The application's role changes nothing of the installation, whichever tenant it serves."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        attempt(books, statement.replace("{}", table))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("kid = 'other'", "is another key"),
        ("public_key = decode(repeat('00', 32), 'hex')", "is another key"),
        ("created_at = now()", "is another key"),
        ("retired_at = NULL", "is retired and would live on"),
        ("retired_at = retired_at + interval '1 s'", "is retired and would live on"),
    ],
)
def test_a_signing_key_neither_changes_nor_comes_back(owner: Any, change: str, told: str) -> None:
    """signing_keys_guard: a key stays what it was, and one that is retired ends no later."""
    made = (
        "INSERT INTO signing_keys (kid, public_key, private_key, kek, retired_at)"
        " VALUES ('old', decode(repeat('ff', 32), 'hex'), 'x', 'x', now())"
    )
    owner.execute(text(made))
    with pytest.raises(DBAPIError, match=told):
        owner.execute(text(f"UPDATE signing_keys SET {change} WHERE kid = 'old'"))


def test_no_tenant_writes_for_another(books: Bank) -> None:
    """A row of another tenant's cannot be inserted."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security"):
        attempt(
            books,
            "INSERT INTO rejections (position, tenant_id, ledger_id, stage, code, detail)"
            " VALUES (5, 1, :ledger, 'post', 'x', '{}')",
            tenant=999_999,
        )


def test_every_table_forces_row_level_security(owner: Any) -> None:
    """No table is without a forced policy, and the application's role bypasses none."""
    loose = owner.execute(
        text(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
            " AND NOT (relrowsecurity AND relforcerowsecurity)"
        )
    ).all()
    assert loose == []


def test_the_sweeper_reads_progress_and_nothing_else(books: Bank, env: dict[str, str]) -> None:
    """trident_sweeper sees positions of all tenants, and neither bodies nor balances."""
    engine = make_engine(env["TRIDENT_SWEEPER_DATABASE_URL"], statement_timeout_ms=5000)
    with engine.connect() as connection:
        seen = connection.execute(
            text("SELECT max(position) FROM operations WHERE ledger_id = :ledger"),
            {"ledger": books.ledger.ledger_id},
        )
        assert seen.scalar() == 5
        connection.execute(text("SELECT ledger_id, segments FROM search_progress"))
    for query in (
        "SELECT body FROM operations",
        "SELECT * FROM accounts",
        "SELECT * FROM postings",
        "SELECT * FROM search_index",
        "INSERT INTO ledgers (tenant_id, name) VALUES (1, 'x')",
    ):
        with (
            engine.connect() as connection,
            pytest.raises(Exception, match="permission denied"),
        ):
            connection.execute(text(query))
    engine.dispose()


def test_a_ledger_of_another_tenant_takes_no_operations(env: dict[str, str], owner: Any) -> None:
    """The log's guard asks whether the ledger is the tenant's."""
    bank = Bank(new_ledger())
    stranger = bank.ledger._replace(tenant_id=999_999)
    with pytest.raises(psycopg2.Error, match="does not exist"):
        Bank(stranger).open("a")
