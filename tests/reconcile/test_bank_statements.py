"""Real bank statements, matched with books made of them: each line finds its own posting.

The data (of a Czech bank, PKDD'99 Discovery Challenge) is not part of the project; where it does
not lie beside the checkout, this test is skipped.
"""

import csv
import io

import pytest

from cli.stack.root import ROOT
from models.db import app_engine, tenant_reading, tenant_writing
from pipeline.ledger import Account
from pipeline.reconcile import matches, statements, unmatched
from pipeline.reconcile.readers import mapping as mapping_schema
from pipeline.reconcile.readers.reading import read
from pipeline.reconcile.subject import Subject, subject_of
from tests.bank import Bank, new_ledger
from tests.reconcile.desk import DAY, ME

DATA = ROOT.parent / "shared" / "data" / "czech-bank"
WORLD = "world:banks:AB"
MAPPING = {
    "columns": {"booking_date": "date", "amount": "amount", "description": "text", "id": "id"},
    # The statement is the other bank's: what left our customers came in there.
}

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA.name} is not beside the checkout")


def rows_of(code: str) -> list[dict[str, str]]:
    """The operations that touch the account."""
    with (DATA / "operations.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if code in (row["source"], row["destination"])]


def books(rows: list[dict[str, str]]) -> Subject:
    """A ledger in which they are posted."""
    bank = Bank(new_ledger())
    codes = {code for row in rows for code in (row["source"], row["destination"])}
    for code in sorted(codes):
        bank.open(code, type="asset", currency="CZK", overdraft="unlimited")
    bank.accept(
        *(
            bank.submission(
                "transfer",
                {
                    "source": row["source"],
                    "destination": row["destination"],
                    "amount": round(float(row["amount"]) * 100),
                    "currency": "CZK",
                    "effective_date": row["effective_date"],
                },
                key=row["idempotency_key"],
            )
            for row in rows
        )
    )
    bank.work()
    number = bank.rows(
        "SELECT number FROM accounts WHERE ledger_id = :ledger AND code = :code", code=WORLD
    )[0][0]
    return subject_of(bank.ledger, Account(number, WORLD, "asset", "CZK", None))


def export(rows: list[dict[str, str]], *, named: bool) -> bytes:
    """The other bank's statement of it; `named`: with our keys in its text, in its own spelling."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["date", "amount", "text", "id"])
    for n, row in enumerate(rows):
        sign = "" if row["source"] == WORLD else "-"
        key = row["idempotency_key"].replace("-", " ").upper()
        text = f"PAYMENT {key}" if named else "PAYMENT"
        writer.writerow([row["effective_date"], sign + row["amount"], text, f"b{n}"])
    return file.getvalue().encode()


@pytest.mark.parametrize("named", [True, False])
def test_every_match_of_real_payments_is_the_right_one(env: dict[str, str], named: bool) -> None:
    """With references all are matched; without, fewer, and never with another day or amount."""
    rows = rows_of(WORLD)
    subject = books(rows)
    mapping = mapping_schema.load(MAPPING)
    data = export(rows, named=named)
    form, found = read(data, currency="CZK", today=DAY, mapping=mapping)
    with tenant_writing(1) as connection:
        file = statements.File(statements.file_hash(data), form, None)
        statements.take_in(connection, subject, file, found, by=ME)
        made = matches.match_all(connection, subject, by=ME).by_rule
    with tenant_reading(1, app_engine()) as connection:
        every = matches.page(connection, subject, 0, len(rows))
        lines = {
            one.number: one
            for one in unmatched.lines_page(connection, subject, state=None, many=len(rows))
        }
        postings = unmatched.postings_page(connection, subject, state=None, many=len(rows))
    places = {(one.position, one.leg): one for one in postings}
    if named:
        assert made["reference"] == len(rows) == len(every)
    assert every
    for match in every:
        own = [places[position, leg] for position, leg in match.postings]
        assert sum(lines[n].amount for n in match.lines) == sum(one.amount for one in own)
        if named:
            key = own[0].idempotency_key.replace("-", " ").upper()
            assert lines[match.lines[0]].description == f"PAYMENT {key}"
