"""Importing a file: check it whole, feed it, say what came of it.

`import_accounts` and `import_operations` are for programs; the commands put a progress bar and
exit codes around them.
"""

import getpass
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cli.feed import WINDOW, Counts, Feed
from cli.files import CheckedFile, checked, shown_name
from cli.rejected import SUFFIX, RejectedFile
from cli.rows import ACCOUNTS, OPERATIONS, Form
from models.db import app_engine, tenant_reading
from models.ledger import LedgerRef
from models.tenant import tenant_state
from pipeline.strict_json import canonical
from tasks.ring import ringer


@dataclass
class Report:
    """What came of a file. Counts are rows; each ended as posted or under a code in `rejected`."""

    file: str
    ledger: str
    rows: int = 0
    accepted: int = 0
    already: int = 0
    posted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    rejected_file: str | None = None

    @property
    def rejected_rows(self) -> int:
        """Rows that came to nothing."""
        return sum(self.rejected.values())

    @property
    def rate(self) -> float:
        """Rows that became final, a second."""
        return self.rows / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**vars(self), "seconds": round(self.seconds, 3), "rate": round(self.rate, 1)}


@dataclass
class Step:
    """How far an import is. `rows` is None while the file is being checked."""

    checked: int = 0
    rows: int | None = None
    counts: Counts = field(default_factory=Counts)


OnStep = Callable[[Step], None]


def import_accounts(path: Path, ledger: LedgerRef, **options: Any) -> Report:
    """Open the accounts of a CSV file `code,type,currency,overdraft`; as import_operations."""
    return _import(path, ledger, ACCOUNTS, **options)


def import_operations(path: Path, ledger: LedgerRef, **options: Any) -> Report:
    """Feed a CSV or NDJSON file into the ledger; returns when every row has its outcome.

    Options: `window` (operations unposted at any time), `skip_malformed`, `rejected_path`,
    `on_step` (hears a Step). Raises Malformed, DatabaseAwayError, OSError where there is no file.
    """
    return _import(path, ledger, OPERATIONS, **options)


def _import(
    path: Path,
    ledger: LedgerRef,
    form: Form,
    *,
    window: int = WINDOW,
    skip_malformed: bool = False,
    rejected_path: Path | None = None,
    on_step: OnStep = lambda _step: None,
) -> Report:
    began = time.monotonic()
    step = Step()

    def on_checked(rows: int) -> None:
        """The file is looked at."""
        step.checked = rows
        on_step(step)

    form = of_tenant(form, ledger)
    with checked(path, form, skip_malformed=skip_malformed, on_checked=on_checked) as file:
        rejected = RejectedFile(rejected_path or default_rejected_path(path), file.names)
        feed = Feed(
            ledger,
            app_engine(),
            ringer().add,
            rejected,
            principal=principal(),
            window=window,
            on_counts=lambda _counts: on_step(step),
        )
        step.rows, step.counts = file.count, feed.counts
        kept = _run(feed, file, rejected)
    return _report(path, ledger, step, kept, time.monotonic() - began)


def _run(feed: Feed, file: CheckedFile, rejected: RejectedFile) -> Path | None:
    """Feed the file; where the rejected rows are then, if there are any."""
    try:
        feed.run(file)
    except BaseException:
        rejected.discard()
        raise
    return rejected.complete()


def _report(path: Path, ledger: LedgerRef, step: Step, kept: Path | None, seconds: float) -> Report:
    counts = step.counts
    return Report(
        file=shown_name(path),
        ledger=ledger.name,
        rows=step.rows or 0,
        accepted=counts.accepted,
        already=counts.already,
        posted=counts.posted,
        rejected=dict(counts.rejected.most_common()),
        seconds=seconds,
        rejected_file=None if kept is None else str(kept),
    )


def of_tenant(form: Form, ledger: LedgerRef) -> Form:
    """The form with the currencies that the ledger's tenant has settled."""
    with tenant_reading(ledger.tenant_id) as connection:
        tenant = tenant_state(connection, ledger.tenant_id)
    return form if tenant is None else replace(form, currencies=tenant.settings.currencies)


def default_rejected_path(path: Path) -> Path:
    """FILE.rejected.csv beside FILE; for standard input, in the current folder."""
    return Path("stdin" + SUFFIX) if str(path) == "-" else path.with_name(path.name + SUFFIX)


def principal() -> bytes:
    """Who submits: the user at this machine, who can reach the database anyway."""
    return canonical({"sub": user_name(), "roles": ["admin"]})


def user_name() -> str:
    """The user at this machine, as the log and tokens call him: `cli:ada`."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"
