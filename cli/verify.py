"""`trident verify`: prove every ledger from its rows."""

import sys
import time
from typing import Any

import click
import orjson
from rich.console import Console

from cli.asking import (
    EXIT_FAULT,
    DataCommand,
    json_option,
    tenant_option,
    the_ledger,
)
from models.db import tenant_reading
from models.ledger import EVENTS, LedgerRef, every_ledger_of
from models.tenant import tenant_id_of
from pipeline.verify.finding import Finding, first_fault
from pipeline.verify.verify import verify as verify_ledger

# What each check proves, for the line that it gets.
TITLES = {
    "log": "The log has no gaps, and its ids, keys and times fit.",
    "runs": "The stages' runs join up.",
    "postings": "Each operation has one outcome; postings sum to zero.",
    "versions": "Each account's balance runs on from version to version.",
    "accounts": "Each account is where its postings end, within its limit.",
    "shifts": "What effective dates move is what the log says.",
    "chain": "Each block seals the rows that are there.",
    "head": "The head kept outside the database is in the chain.",
    "replay": "The log, replayed, gives these very rows.",
}
WIDTH = max(map(len, TITLES.values()))


@click.command(cls=DataCommand)
@click.option("--ledger", metavar="NAME", help="Only this ledger.  [default: all of the tenant]")
@tenant_option
@json_option
def verify(ledger: str | None, tenant: str, as_json: bool) -> None:
    """Check that nothing in the books was lost, doubled or changed.

    Everything is read from one snapshot and proved from the rows alone. Each check names the first
    fault that it finds. A stage that lags is no fault: it is checked as far as it has come.

    Exit codes: 0 all is well; 1 a fault was found.
    """
    found = {}
    for books in sorted(_ledgers(tenant, ledger), key=lambda books: books.name == EVENTS):
        found[books.name], took_s = _verify(books)
        if not as_json:
            brief = books.name == EVENTS and ledger is None
            _print(books.name, found[books.name], took_s, brief=brief)
    faulty = [name for name, findings in found.items() if first_fault(findings)]
    if as_json:
        ledgers = [{"ledger": name, "checks": as_dicts(found[name])} for name in found]
        document = {"ok": not faulty, "ledgers": ledgers}
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    if faulty:
        click.echo(f"trident: {', '.join(faulty)}: the books are not as they were.", err=True)
        sys.exit(EXIT_FAULT)


def _ledgers(tenant: str, name: str | None) -> list[LedgerRef]:
    if name is not None and name != EVENTS:
        return [the_ledger(tenant, name)]
    tenant_id = tenant_id_of(tenant)
    with tenant_reading(tenant_id) as connection:
        every = every_ledger_of(connection, tenant_id)
    return [ledger for ledger in every if name in (None, ledger.name)]


def _verify(books: LedgerRef) -> tuple[list[Finding], float]:
    """Run all checks on a ledger; what they found, and after how many seconds."""
    began = time.monotonic()
    console = Console(stderr=True, highlight=False)
    with console.status(f"Ledger {books.name}") as status:
        findings = verify_ledger(
            books,
            lambda done, of: status.update(f"Ledger {books.name}: {done:,} of {of:,} operations"),
        )
    return findings, time.monotonic() - began


def _print(name: str, findings: list[Finding], took_s: float, *, brief: bool) -> None:
    """What each check found; `brief`: of events that are well, all in one line."""
    if brief and first_fault(findings) is None:
        click.echo(f"What people and programs did beside the books (ledger {name}), {took_s:.1f} s")
        click.echo(f"  ok     {'All of these checks.':{WIDTH}}  {findings[0].examined}")
        return
    click.echo(f"Ledger {name}, {took_s:.1f} s")
    for finding in findings:
        click.echo(line(finding))


def line(finding: Finding) -> str:
    """`ok     The log has no gaps …   24,821 operations`, or the fault."""
    if finding.fault is not None:
        return f"  FAULT  {TITLES[finding.check]}\n         {finding.fault}"
    verdict = "ok" if finding.made else "-"
    return f"  {verdict:5}  {TITLES[finding.check]:{WIDTH}}  {finding.examined}"


def as_dicts(findings: list[Finding]) -> list[dict[str, Any]]:
    """The findings for programs."""
    return [
        {
            "check": finding.check,
            "made": finding.made,
            "ok": finding.fault is None,
            "examined": finding.examined,
            "fault": None if finding.fault is None else finding.fault._asdict(),
        }
        for finding in findings
    ]
