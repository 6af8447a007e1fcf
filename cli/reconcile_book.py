"""`trident reconcile book`: a difference becomes an operation, and a match once it is posted."""

import time

import click

from cli.asking import DataCommand, Unfulfillable, ledger_option, tenant_option
from cli.importing import principal, user_name
from cli.reconciling import explained, the_places, the_subject
from models.db import app_engine, raw_connection, tenant_writing
from models.operation import show_id
from models.settings import settings
from pipeline.accept import accept
from pipeline.progress import read_progress, read_rejections
from pipeline.receipt import Accepted, Behind, Receipt, Reused, Submission
from pipeline.reconcile import bookings, differences, matches
from pipeline.reconcile.subject import Subject, lock
from pipeline.strict_json import canonical
from tasks.ring import ringer

# An operation is posted in 20 ms; whoever waits longer than this has no workers.
WAIT_S = 30.0
POLL_S = 0.02


@click.command(cls=DataCommand)
@click.argument("account")
@ledger_option
@tenant_option
@click.option("--line", "lines", type=int, multiple=True, required=True, help="A line's number.")
@click.option("--posting", "postings", multiple=True, metavar="OP[:LEG]", help="What it meets.")
@click.option("--against", required=True, metavar="CODE", help="The other account.")
@click.option("--description", metavar="TEXT", help="By default the line's.")
def book(
    account: str,
    ledger: str,
    tenant: str,
    lines: tuple[int, ...],
    postings: tuple[str, ...],
    against: str,
    description: str | None,
) -> None:
    """Book what the lines are more than the postings as a transfer, and match all of them.

    The transfer's key is made from the first line, so that a repeat makes no second one.
    """
    subject = the_subject(tenant, ledger, account)
    with explained():
        with tenant_writing(subject.ledger.tenant_id) as connection:
            places = the_places(connection, subject, postings)
            wish = differences.Wish(lines, places, against, description=description)
            prepared = differences.prepare(connection, subject, wish, by=user_name())
        accepted = _hand_in(subject, prepared)
        _wait(subject, accepted)
        with tenant_writing(subject.ledger.tenant_id) as connection:
            lock(connection, subject)
            matches.settle(connection, subject, by=user_name(), again=prepared.key)
            match = bookings.match_of(connection, subject, prepared.key)
    made = "it waits for somebody's approval" if match is None else f"match {match}"
    click.echo(f"{show_id(accepted.id)}: {made}.")


def _hand_in(subject: Subject, prepared: differences.Prepared) -> Accepted:
    submission = Submission(prepared.key, prepared.kind, canonical(prepared.body), principal())
    with raw_connection(app_engine()) as connection:
        receipts: list[Receipt] = accept(
            connection, subject.ledger, [submission], settings().max_lag
        )
    match receipts[0]:
        case Reused(differing):
            raise Unfulfillable(
                f"These lines were booked before, with another {', '.join(differing)}. Reverse"
                " that operation, and match both by hand."
            )
        case Behind(lag):
            raise Unfulfillable(f"{lag:,} operations wait to be posted. Try again in a second.")
        case Accepted() as accepted:
            ringer().add(subject.ledger, accepted.position)
            return accepted


def _wait(subject: Subject, accepted: Accepted) -> None:
    deadline = time.monotonic() + WAIT_S
    with raw_connection(app_engine()) as connection:
        while read_progress(connection, subject.ledger).post < accepted.position:
            if time.monotonic() > deadline:
                raise Unfulfillable(
                    f"{show_id(accepted.id)} is accepted, but not posted yet. Do the workers run?"
                    " `trident reconcile match` matches it later."
                )
            time.sleep(POLL_S)
        refusals = read_rejections(connection, subject.ledger, [accepted.position])
    if accepted.position in refusals:
        code, detail = refusals[accepted.position]
        raise Unfulfillable(f"The booking was rejected: {code}, {detail}. Nothing was matched.")
