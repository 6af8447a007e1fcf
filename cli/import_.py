"""`trident import`, and what it shares with `trident accounts import`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from cli.asking import (
    EXIT_INTERRUPTED,
    EXIT_REJECTED,
    DatabaseFault,
    DataCommand,
    Function,
    Unfulfillable,
    json_option,
    ledger_option,
    tenant_option,
    the_open_ledger,
)
from cli.bar import bar
from cli.feed import WINDOW, DatabaseAwayError
from cli.files import Malformed, shown_name
from cli.importing import OnStep, Report, Step, import_operations
from cli.rows import OPERATIONS, Form
from cli.trying import Trial, try_file

# The statuses of a dry run, as a person reads them.
NAMES = {
    "posted": "would be posted",
    "pending": "would be pending",
    "rejected": "would be rejected",
    "replayed": "were accepted before",
    "conflict": "have the key of other content",
}

FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


def import_options(function: Function) -> Function:
    """The options of both imports."""
    for option in reversed(
        (
            ledger_option,
            tenant_option,
            click.option(
                "--window",
                type=click.IntRange(min=1),
                default=WINDOW,
                show_default=True,
                metavar="N",
                help="Keep at most N operations unposted, so that others wait little.",
            ),
            click.option(
                "--continue",
                "skip_malformed",
                is_flag=True,
                help="Pass over malformed rows and import the others.",
            ),
            click.option(
                "--rejected",
                "rejected_path",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="PATH",
                help="Where rejected rows go.  [default: FILE.rejected.csv]",
            ),
            click.option(
                "--dry-run", is_flag=True, help="Say what would come of it, and accept nothing."
            ),
            json_option,
        )
    ):
        function = option(function)
    return function


@click.command("import", cls=DataCommand)
@click.argument("file", type=FILE)
@import_options
def import_(file: Path, **options: Any) -> None:
    """Import the operations in FILE (CSV or NDJSON; - is standard input).

    \b
    CSV:    idempotency_key,kind,source,destination,amount,currency,effective_date,description
            with decimals in `amount`, or integers in `amount_minor`
    NDJSON: {"idempotency_key": "...", "kind": "transfer", ...} a line, as the API takes them

    The whole file is checked before any of it is accepted. Interrupted and started again, the
    import goes on where it was: nothing is ever posted twice. It ends when every operation is
    final, and writes those that were rejected to FILE.rejected.csv, each with its code.

    \b
    Exit codes: 0 all posted; 3 some rejected; 2 FILE is malformed and nothing was accepted;
    1 the database failed; 130 interrupted.
    """
    run_import(import_operations, OPERATIONS, file, **options)


def run_import(
    importer: Callable[..., Report],
    form: Form,
    file: Path,
    *,
    ledger: str,
    tenant: str,
    as_json: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Import with a bar, report, and exit with the code that says how it went."""
    books = the_open_ledger(tenant, ledger)
    steps = [Step()]
    if dry_run:
        with failing_clearly(steps), bar(shown_name(file)) as show:
            skip = options["skip_malformed"]
            trial = try_file(file, books, form=form, skip_malformed=skip, on_step=show)
        show_trial(trial, as_json=as_json)
        sys.exit(EXIT_REJECTED if trial.fails else 0)
    with failing_clearly(steps), bar(shown_name(file)) as show:
        report = importer(file, books, on_step=both(steps, show), **options)
    if as_json:
        click.echo(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2))
    else:
        show_report(report)
    if report.rejected_rows:
        sys.exit(EXIT_REJECTED)


def both(steps: list[Step], show: OnStep) -> OnStep:
    """Show each step, and remember it for the message of an interrupted import."""

    def on_step(step: Step) -> None:
        """The newest step is the one that counts."""
        steps[0] = step
        show(step)

    return on_step


@contextmanager
def failing_clearly(steps: list[Step]) -> Iterator[None]:
    """Say what went wrong, and how far the import had come."""
    try:
        yield
    except Malformed as error:
        advice = "" if error.fatal else " --continue imports the rows that are well formed."
        text = f"The file is malformed.\n{error}\nNothing was accepted.{advice}"
        raise Unfulfillable(text) from None
    except OSError as error:
        raise Unfulfillable(f"{error.filename}: {error.strerror}") from None
    except DatabaseAwayError as error:
        raise DatabaseFault(f"The database is away: {error}\n{_so_far(steps[0])}") from None
    except KeyboardInterrupt:
        click.echo(f"trident: Interrupted. {_so_far(steps[0])}", err=True)
        sys.exit(EXIT_INTERRUPTED)


def _so_far(step: Step) -> str:
    return f"{step.counts.known:,} accepted so far; run the same command again to go on."


def show_report(report: Report) -> None:
    """The counts, as a person reads them."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"[bold]{report.rows:,}[/bold] rows of {report.file} in {report.seconds:.1f} s"
        f" ({report.rate:,.0f}/s), ledger {report.ledger}",
    )
    lines = [("accepted", report.accepted), ("accepted before", report.already)]
    lines += [("posted", report.posted), ("rejected", report.rejected_rows)]
    width = len(f"{report.rows:,}")
    for name, count in lines:
        if count or name in {"posted", "rejected"}:
            console.print(f"  {count:>{width},}  {name}", markup=False)
    for code, count in report.rejected.items():
        console.print(f"  {count:>{width},}    {code}", markup=False)
    if report.rejected_file:
        console.print(f"The rejected rows are in {report.rejected_file}", markup=False)


def show_trial(trial: Trial, *, as_json: bool) -> None:
    """What would come of the file."""
    if as_json:
        click.echo(orjson.dumps(trial.as_json(), option=orjson.OPT_INDENT_2))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"[bold]{trial.rows:,}[/bold] rows of {trial.file} tried on ledger {trial.ledger},"
        f" as posted up to position {trial.as_of:,}; nothing was accepted",
    )
    if trial.waiting:
        console.print(f"  {trial.waiting:,} operations of the log wait before them, untried")
    width = len(f"{trial.rows:,}")
    counts = {"malformed": trial.malformed, **trial.statuses}
    for name, count in counts.items():
        if count:
            console.print(f"  {count:>{width},}  {NAMES.get(name, name)}", markup=False)
    for code, count in trial.rejected.most_common():
        console.print(f"  {count:>{width},}    {code}", markup=False)
    for line in trial.first:
        console.print(line, markup=False)
