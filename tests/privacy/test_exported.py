"""Every table of the database: it is in the export of a subject, or here stands why it is not."""

import re

from sqlalchemy import text

from models.db import owner_engine
from pipeline.privacy import export, person_export, submitted
from pipeline.privacy.subjects import STATE

# What the export reads of a table that holds something of a subject.
READ = {
    "people": person_export.PEOPLE,
    "sessions": person_export.SESSIONS,
    "tickets": person_export.TICKETS,
    "mails": person_export.MAILS,
    "api_keys": person_export.API_KEYS,
    "operations": text(export.OPERATIONS.text + submitted.SUBMITTED.text),
    "decisions": submitted.DECIDED,
    "external_statements": submitted.RECONCILED,
    "matches": submitted.RECONCILED,
    "bookings": submitted.RECONCILED,
    "csv_mappings": submitted.RECONCILED,
    "rejections": export.OPERATIONS,
    "postings": export.POSTINGS,
    "accounts": export.ACCOUNTS,
    "external_lines": export.LINES,
    "data_keys": STATE,
    "subjects": STATE,
    "subject_mentions": STATE,
}
# Columns of those tables that are not exported, and why.
NUMBERS = "places rows, or counts, and says nothing of anybody"
SECRET = "a secret, or what one is checked with"
LEFT_OUT = {
    "people": {
        "email_hash": SECRET,
        "password_hash": SECRET,
        "totp_new": SECRET,
        "totp_last_step": SECRET,
        "version": NUMBERS,
    },
    "sessions": {"generation": NUMBERS},
    "tickets": {"token_hash": SECRET},
    "mails": {"mail_id": NUMBERS, "ticket": SECRET},
    "api_keys": {"hash": SECRET, "previous_hash": SECRET, "previous_until": NUMBERS},
    "external_statements": dict.fromkeys(
        (
            "opening_balance",
            "closing_balance",
            "part",
            "lines",
            "known_lines",
            "from_date",
            "to_date",
            "currency",
            "file_hash",
            "file_name",
            "external_account",
            "reference",
        ),
        "what the bank says of the tenant's own account",
    ),
    "matches": {"undoes": NUMBERS},
    "bookings": dict.fromkeys(("idempotency_key", "lines", "positions", "legs"), NUMBERS),
    "csv_mappings": {"mapping": "how files are read"},
    "operations": {},
    "decisions": {
        "number": NUMBERS,
        "amount": NUMBERS,
        "remaining": NUMBERS,
        "terminal": NUMBERS,
    },
    "rejections": {"stage": NUMBERS, "detail": "numbers and codes of accounts: of the books"},
    "postings": {"leg": NUMBERS, "version": NUMBERS},
    "accounts": {
        "number": NUMBERS,
        "version": NUMBERS,
        "pending_version": NUMBERS,
        "overdraft": "a rule of the books",
    },
    "external_lines": {
        "identity": NUMBERS,
        "number": NUMBERS,
        "statement": NUMBERS,
        "place": NUMBERS,
    },
    "data_keys": {"key_version": NUMBERS, "wrapped": SECRET, "kek": NUMBERS},
    "subjects": {},
    "subject_mentions": {},
}
EVERYWHERE = {"tenant_id", "ledger_id", "account"}
# Tables that hold nothing of a subject, and why.
NOTHING = {
    "alembic_version": "the version of the tables",
    "attempts": NUMBERS,
    "audit_blocks": "hashes of what is sealed",
    "date_shifts": NUMBERS,
    "idempotency_keys": NUMBERS,
    "ledger_settings": "rules of the books",
    "ledgers": "of the books",
    "limit_usage": "amounts by account, which postings give",
    "matched_lines": NUMBERS,
    "matched_postings": NUMBERS,
    "pending_operations": NUMBERS,
    "retention_runs": NUMBERS,
    "revoked_tokens": NUMBERS,
    "runs": NUMBERS,
    "search_index": "positions by hashes of words, of what is exported itself",
    "search_progress": NUMBERS,
    "sign_in_addresses": "a hash of an address for a day, with a key: nobody's by name",
    "signing_keys": "of the installation",
    "tenants": "of the organisation",
}
# Whom rows are of, and what may be sealed under their keys.
TELLING = ("subject", "person_id", "address", "agent", "email")

COLUMNS = text("""
    SELECT c.relname, a.attname, t.typname
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
           AND NOT a.attisdropped
      JOIN pg_type t ON t.oid = a.atttypid
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND c.relnamespace = 'public'::regnamespace
""")
# Bytes of tables that hold nothing of anybody: hashes and indexes.
BYTES = {
    ("audit_blocks", "previous_hash"),
    ("audit_blocks", "root"),
    ("audit_blocks", "hash"),
    ("search_index", "places"),
    ("search_index", "dense"),
    ("sign_in_addresses", "address_hash"),
    ("signing_keys", "public_key"),
    ("signing_keys", "private_key"),
}


def catalog() -> list[tuple[str, str, str]]:
    """Table, column and type, of all there are."""
    with owner_engine() as engine, engine.connect() as connection:
        return [tuple(row) for row in connection.execute(COLUMNS)]


def test_every_table_is_exported_or_has_a_reason(env: dict[str, str]) -> None:
    """A new one is in the export, or is listed here with why it holds nothing of a subject."""
    assert READ.keys() == LEFT_OUT.keys()
    found = {table for table, _, _ in catalog()}
    assert sorted(found) == sorted([*READ, *NOTHING])


def test_every_column_is_exported_or_has_a_reason(env: dict[str, str]) -> None:
    """Of the tables that hold something of a subject."""
    found = {(table, column) for table, column, _ in catalog() if table in READ}
    exported = {
        (table, column)
        for table, column in found
        if column in EVERYWHERE or re.search(rf"\b{column}\b", READ[table].text)
    }
    left_out = {(table, column) for table, columns in LEFT_OUT.items() for column in columns}
    assert sorted(found - exported - left_out) == []
    assert sorted(left_out - found) == []


def test_no_other_table_gets_something_of_a_subject(env: dict[str, str]) -> None:
    """A column that names a person, or bytes that may be sealed, takes a look at the export."""
    found = {
        (table, column)
        for table, column, kind in catalog()
        if table in NOTHING and (column in TELLING or kind in ("bytea", "_bytea"))
    }
    assert sorted(found) == sorted(BYTES)
