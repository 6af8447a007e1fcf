"""`--dry-run`: what an import would do, without doing it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from cli.files import CheckedFile, checked, shown_name
from cli.importing import OnStep, Step, of_tenant, principal
from cli.rows import OPERATIONS, Form, Row
from models.db import tenant_reading
from models.key_ring import key_ring
from models.ledger import LedgerRef
from pipeline.dry_run import DryRun, Outlook
from pipeline.privacy.sealing import Sealed, Withheld, is_marked, seal_all
from pipeline.receipt import Submission
from pipeline.refusal import CODES

# So many rejected rows say what is wrong; the rest is only counted.
SHOWN_MAX = 20
REPORT_EVERY_ROWS = 1_000


@dataclass
class Trial:
    """What would come of a file. Counts are rows, by status and by the code of the refusal."""

    file: str
    ledger: str
    as_of: int
    waiting: int
    rows: int = 0
    malformed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    @property
    def fails(self) -> bool:
        """Whether not every row would take effect, now or earlier."""
        return bool(self.malformed or self.statuses["rejected"] or self.statuses["conflict"])

    def add(self, row: Row, outlook: Outlook) -> None:
        """One row's outlook."""
        self.statuses[outlook.status] += 1
        said = "its key belongs to an operation of other content."
        if outlook.refusal is not None:
            code, detail = outlook.refusal
            self.rejected[code] += 1
            about = ", ".join(f"{name} {value}" for name, value in detail.items())
            said = f"{code}: {CODES[code]} ({about})"
        if outlook.status in ("rejected", "conflict") and len(self.first) < SHOWN_MAX:
            self.first.append(f"line {row.line}, {row.key}: {said}")

    def withhold(self, row: Row, why: Withheld) -> None:
        """A row whose subject takes nothing."""
        self.statuses["rejected"] += 1
        self.rejected[why.code] += 1
        if len(self.first) < SHOWN_MAX:
            self.first.append(f"line {row.line}, {row.key}: {why.code}: {why.detail}")

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**vars(self), "dry_run": True}


def try_file(
    path: Path,
    ledger: LedgerRef,
    *,
    form: Form = OPERATIONS,
    skip_malformed: bool = False,
    on_step: OnStep = lambda _step: None,
) -> Trial:
    """Try every row of the file, in its order. Raises Malformed, and OSError without a file."""
    step = Step()

    def on_checked(rows: int) -> None:
        """The file is looked at."""
        step.checked = rows
        on_step(step)

    form = of_tenant(form, ledger)
    with (
        checked(path, form, skip_malformed=skip_malformed, on_checked=on_checked) as file,
        tenant_reading(ledger.tenant_id) as connection,
    ):
        step.rows = file.count
        run = DryRun(connection, ledger)
        trial = Trial(shown_name(path), ledger.name, run.as_of, run.waiting, file.count)
        ahead, behind = tee(_sealed(connection, ledger, _well_formed(file, trial), trial))
        given = (submission for _, submission in ahead)
        for (row, _), outlook in zip(behind, run.outlooks(given), strict=True):
            trial.add(row, outlook)
            step.counts.posted += 1
            if step.counts.posted % REPORT_EVERY_ROWS == 0:
                on_step(step)
    return trial


def _sealed(
    connection: Connection, ledger: LedgerRef, rows: Iterator[Row], trial: Trial
) -> Iterator[tuple[Row, Submission]]:
    """The rows as they would be accepted; those whose subjects take nothing are rejected."""
    who = principal()
    for row in rows:
        made: Sealed = Submission(row.key, row.kind, row.body.encode(), who)
        if isinstance(made, Submission) and is_marked(made):
            (made,) = seal_all(connection, key_ring(), ledger, [made], trial=True)
        if isinstance(made, Withheld):
            trial.withhold(row, made)
        else:
            yield row, made


def _well_formed(file: CheckedFile, trial: Trial) -> Iterator[Row]:
    for row in file:
        if row.kind:
            yield row
        else:
            trial.malformed += 1
