"""`trident reconcile review` and `status`: what is left, and what explains the difference."""

import datetime as dt
from typing import Any

import click
import orjson

from cli.asking import (
    DataCommand,
    format_options,
    json_option,
    ledger_option,
    patient_reading,
    tenant_option,
)
from cli.printing import Record, grouped, plain, print_csv, print_json, print_table, table
from cli.reconciling import explained, the_subject
from models.operation import show_id
from pipeline import money
from pipeline.reconcile import review as reviewing
from pipeline.reconcile import unmatched
from pipeline.reconcile.subject import Subject
from pipeline.reconcile.summary import Part, Summary, summary

COLUMNS = ("side", "number", "date", "amount", "text", "suggestion", "why")
# A person looks at so many; programs page through the API.
LIMIT = 200


@click.command(cls=DataCommand)
@click.argument("account")
@ledger_option
@tenant_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=LIMIT, show_default=True)
@format_options
def review(account: str, ledger: str, tenant: str, limit: int, form: str) -> None:
    """Show what is not matched: lines with what they may belong to, and postings.

    Amounts stand in the statement's sense: + is money that came in. Texts that a spreadsheet would
    take for formulas have an apostrophe before them in CSV.
    """
    subject = the_subject(tenant, ledger, account)
    with explained(), patient_reading(subject.ledger.tenant_id) as connection:
        lines = unmatched.lines_page(connection, subject, state="unmatched", many=limit)
        found = reviewing.suggestions(connection, subject, [row.number for row in lines])
        named = [several[0].place for several in found.values() if several]
        likely = unmatched.postings_at(connection, subject, named)
        postings = unmatched.postings_page(connection, subject, state="unmatched", many=limit)
    records: list[Record] = []
    for row in lines:
        best = next(iter(found.get(row.number, ())), None)
        of = likely.get(best.place) if best else None
        text = " ".join(filter(None, (row.counterparty, row.description, *row.refs)))
        records.append(
            (
                "line",
                str(row.number),
                row.booking_date.isoformat(),
                money.show(row.amount, subject.currency),
                text,
                show_id(of.id) if of else "",
                _why(subject, best) if best else "",
            )
        )
    records += [
        (
            "posting",
            f"{show_id(row.id)}:{row.leg}",
            row.day.isoformat(),
            money.show(row.amount, subject.currency),
            " ".join(filter(None, (row.idempotency_key, row.description))),
            "",
            "",
        )
        for row in postings
    ]
    _print(subject, records, form)


def _why(subject: Subject, best: Any) -> str:
    difference = money.show(best.difference, subject.currency)
    amount = "" if not best.difference else f", differs by {difference}"
    return f"{best.reason.replace('_', ' ')}{amount}, {best.days:+d} days"


def _print(subject: Subject, records: list[Record], form: str) -> None:
    if form == "csv":
        print_csv(COLUMNS, records)
    elif form == "json":
        print_json(COLUMNS, records)
    elif not records:
        click.echo(f"Nothing of {subject.code} is unmatched.")
    else:
        made = table(f"{subject.code}, {subject.currency}", COLUMNS, numeric=("amount",))
        for record in records:
            made.add_row(*map(plain, record))
        print_table(made)


@click.command(cls=DataCommand)
@click.argument("account")
@ledger_option
@tenant_option
@click.option("--date", type=click.DateTime(["%Y-%m-%d"]), help="At the end of this day.")
@json_option
def status(account: str, ledger: str, tenant: str, date: dt.datetime | None, as_json: bool) -> None:
    """Show the balance of the books and of the statement, and what explains the difference.

    Exit codes: 0 nothing is left to do; 3 something is.
    """
    subject = the_subject(tenant, ledger, account)
    with explained(), patient_reading(subject.ledger.tenant_id) as connection:
        found = summary(connection, subject, date.date() if date else None)
    if as_json:
        parts = {name: _plain(value) for name, value in found._asdict().items()}
        shown = {**parts, "difference": found.difference}
        shown |= {"reconciled": found.reconciled, "account": account}
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
    else:
        _print_status(subject, found)
    if not found.reconciled:
        raise SystemExit(EXIT_LEFT)


def _plain(value: Any) -> Any:
    return {"count": value.items, "amount": value.amount} if isinstance(value, Part) else value


# As an import with rejected rows: it ran, and a person is to look.
EXIT_LEFT = 3


def _print_status(subject: Subject, found: Summary) -> None:
    title = f"{subject.code}, {subject.currency}, {found.date}"
    made = table(title, ("", "count", "amount"), numeric=("count", "amount"))
    lines, postings = found.unmatched_lines, found.unmatched_postings
    known = "" if found.statement_balance_known else " (no statement names one)"
    for name, count, amount in (
        ("books", None, found.books_balance),
        (f"statement{known}", found.statements, found.statement_balance),
        ("difference", None, found.difference),
        ("  brought forward", None, found.brought_forward),
        ("  postings not matched", postings.items, postings.amount),
        ("  lines not matched", lines.items, -lines.amount),
        ("  postings ignored", found.ignored_postings.items, found.ignored_postings.amount),
        ("  lines ignored", found.ignored_lines.items, -found.ignored_lines.amount),
        ("  in transit", None, found.in_transit),
        ("  missing statements", None, -found.missing_statements),
    ):
        shown = grouped(money.show(amount, subject.currency))
        made.add_row(plain(name), plain(count), plain(shown))
    print_table(made)
    click.echo("Reconciled." if found.reconciled else "Not reconciled yet.")
