"""`trident reconcile`: statements from outside, matched with what was posted to an account."""

import datetime as dt
from pathlib import Path
from typing import Any

import click
import orjson
from marshmallow import ValidationError

from cli.asking import (
    DataCommand,
    Function,
    Unfulfillable,
    json_option,
    ledger_option,
    tenant_option,
    the_ledger,
)
from cli.import_ import FILE
from cli.importing import user_name
from cli.reconcile_book import book
from cli.reconcile_review import review, status
from cli.reconciling import explained, the_places, the_subject
from models.db import tenant_reading, tenant_writing
from pipeline.reconcile import mappings, matches, statements
from pipeline.reconcile.items import Windows
from pipeline.reconcile.readers import mapping as mapping_schema
from pipeline.reconcile.readers import reading
from pipeline.strict_json import JsonError, loads


@click.group()
def reconcile() -> None:
    """Match an account with the statements of a bank.

    \b
    trident reconcile import assets:bank october.xml
    trident reconcile match assets:bank
    trident reconcile review assets:bank
    trident reconcile book assets:bank --line 17 --against expenses:bank-fees
    trident reconcile status assets:bank
    """


def account_options(function: Function) -> Function:
    """ACCOUNT, --ledger and --tenant."""
    return click.argument("account")(ledger_option(tenant_option(function)))


@reconcile.command("import", cls=DataCommand)
@account_options
@click.argument("file", type=FILE)
@click.option("--mapping", metavar="NAME", help="CSV: the stored mapping to read it by.")
@click.option(
    "--format", "form", type=click.Choice(reading.FORMATS), help="By default what it looks like."
)
@click.option("--external-account", metavar="IBAN", help="Which account of the file.")
@json_option
def import_(
    account: str,
    file: Path,
    ledger: str,
    tenant: str,
    mapping: str | None,
    form: str | None,
    external_account: str | None,
    as_json: bool,
) -> None:
    """Import the statement in FILE (CSV, camt.053 or OFX) for ACCOUNT.

    The file is taken whole or refused whole, and each fault is named by its line and column or
    element. The same file again changes nothing; a line that an earlier statement brought is not
    taken twice.
    """
    data = _read(file)
    subject = the_subject(tenant, ledger, account)
    with explained():
        stored = None
        if mapping is not None:
            with tenant_reading(subject.ledger.tenant_id) as connection:
                stored = mappings.find(connection, subject.ledger, mapping).mapping
        today = dt.datetime.now(dt.UTC).date()
        form, found = reading.read(
            data, currency=subject.currency, today=today, form=form, mapping=stored
        )
        name = None if str(file) == "-" else file.name
        with tenant_writing(subject.ledger.tenant_id) as connection:
            taken = statements.take_in(
                connection,
                subject,
                statements.File(statements.file_hash(data), form, name),
                found,
                by=user_name(),
                external_account=external_account,
            )
    if as_json:
        rows = [_statement(row) for row in taken.statements]
        shown = {"replayed": taken.replayed, "statements": rows}
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
        return
    for row in taken.statements:
        was = "was here already" if taken.replayed else f"{row.lines:,} lines"
        known = f", {row.known_lines:,} known from before" if row.known_lines else ""
        click.echo(f"Statement {row.number}, {row.from_date} to {row.to_date}: {was}{known}.")


def _statement(row: Any) -> dict[str, Any]:
    names = ("number", "from_date", "to_date", "lines", "known_lines")
    return {name: getattr(row, name) for name in names}


def _read(file: Path) -> bytes:
    with click.open_file(str(file), "rb") as stream:
        data = bytes(stream.read(reading.LARGE_FILE_MAX_BYTES + 1))
    if len(data) > reading.LARGE_FILE_MAX_BYTES:
        raise Unfulfillable(f"A file has up to {reading.LARGE_FILE_MAX_BYTES} bytes: split it.")
    return data


@reconcile.command("mapping", cls=DataCommand)
@click.argument("name")
@click.argument("file", type=FILE, required=False)
@ledger_option
@tenant_option
def mapping_(name: str, file: Path | None, ledger: str, tenant: str) -> None:
    """Store the CSV mapping in FILE (JSON) under NAME, or show what is stored there.

    \b
    {"columns": {"booking_date": "Date", "amount": "Amount", "description": ["Type", "Text"]},
     "date_format": "DD.MM.YYYY", "decimal": ",", "thousands": ".", "delimiter": ";"}
    """
    books = the_ledger(tenant, ledger)
    with explained():
        if file is None:
            with tenant_reading(books.tenant_id) as connection:
                row = mappings.find(connection, books, name)
            click.echo(orjson.dumps(row.mapping, option=orjson.OPT_INDENT_2))
            return
        if not mapping_schema.MAPPING_NAME.fullmatch(name):
            raise Unfulfillable("A name is of small letters, digits and hyphens, no hyphen first.")
        try:
            loaded = mapping_schema.load(loads(_read(file)))
        except (JsonError, ValidationError) as error:
            raise Unfulfillable(f"{file}: {error}") from None
        with tenant_writing(books.tenant_id) as connection:
            version = mappings.store(connection, books, name, loaded, user_name())
        click.echo(f"Mapping {name}, version {version}.")


@reconcile.command("match", cls=DataCommand)
@account_options
@click.option("--line", "lines", type=int, multiple=True, help="By hand: a line's number.")
@click.option("--posting", "postings", multiple=True, metavar="OP[:LEG]", help="By hand.")
@click.option("--ignore", metavar="REASON", help="Set these lines or postings aside.")
@click.option("--undo", type=int, metavar="MATCH", help="Take a match back.")
@click.option("--days", type=click.IntRange(0, 31), default=Windows().days, show_default=True)
@json_option
def match(
    account: str,
    ledger: str,
    tenant: str,
    lines: tuple[int, ...],
    postings: tuple[str, ...],
    ignore: str | None,
    undo: int | None,
    days: int,
    as_json: bool,
) -> None:
    """Match by the rules; or by hand the lines and postings that are named.

    Rules: a reference and the amount agree; all that bear a reference sum to the amount; the only
    equal amount within some days; the only sum. What could be two things is left for `review`.
    """
    subject = the_subject(tenant, ledger, account)
    by = user_name()
    with explained(), tenant_writing(subject.ledger.tenant_id) as connection:
        if undo is not None:
            matches.undo(connection, subject, undo, reason=f"undone by {by}", by=by)
            click.echo(f"Match {undo} is undone.")
            return
        if lines or postings:
            places = the_places(connection, subject, postings)
            if ignore is not None:
                made = matches.ignore(connection, subject, lines, places, reason=ignore, by=by)
            else:
                made = matches.match_by_hand(connection, subject, lines, places, by=by)
            click.echo(f"Match {made} is made.")
            return
        found = matches.match_all(connection, subject, by=by, windows=Windows(days))
    if as_json:
        click.echo(orjson.dumps(found._asdict(), option=orjson.OPT_INDENT_2))
        return
    for rule, count in found.by_rule.items():
        click.echo(f"  {count:>9,}  {rule}")
    click.echo(f"{found.lines_left:,} lines are left; `trident reconcile review` shows them.")


reconcile.add_command(review)
reconcile.add_command(status)
reconcile.add_command(book)
