"""One run: start everything, let clients work while faults strike, heal, drain, and check."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from models.db import app_engine, raw_connection, tenant_reading
from models.ledger import LedgerRef
from pipeline.progress import read_progress
from tests.chaos import books, identity, promises
from tests.chaos.acts import Tenant
from tests.chaos.clients import Client, Crowd, prepare
from tests.chaos.evidence import Evidence, read_evidence
from tests.chaos.faults import TIMES, Faults
from tests.chaos.finding import Finding, merged
from tests.chaos.history import History
from tests.chaos.installation import Installation, Options, installed, keep_logs
from tests.chaos.logs import check_logs
from tests.chaos.outside import check_api
from tests.chaos.privacy import check_privacy
from tests.chaos.staff import Staff, event_ledgers, make_tenants
from tests.chaos.watch import Bookkeeper, Listener

DRAIN_S = 60.0
# A request that its client has given up may still be stored: a writer tries for so long
# (SINGLE_WITHIN_S, BULK_WITHIN_S in api/writer.py).
STRAGGLERS_S = 10.5
LOOK_S = 0.1
# A run that has not seen enough yet goes on, for so many times its seconds at most: how much
# happens in a second depends on what else the machine does.
LONGEST = 3.0
# What a run of 60 s must have seen to be worth anything; shorter ones in proportion.
FULL_S = 60.0
ACKNOWLEDGED_MIN = 1_000
UNKNOWN_MIN = 50
NOTIFIED_MIN = 500  # gone through all stages while the faults struck
DECIDED_MIN = 10  # of each sort of decision
SEEN_MIN = 5  # of each other kind, and of each reason why it was refused

# Operations whose time comes without anybody's asking: the log is not at its end before them.
DUE = "SELECT count(*) FROM pending_operations WHERE ledger_id = :ledger AND due_at IS NOT NULL"

Say = Callable[[str], None]


@dataclass
class Report:
    """One run: its figures, its faults, and what every invariant found."""

    seed: int
    seconds: float
    figures: dict[str, float] = field(default_factory=dict)
    struck: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    # What the run should have seen, and whether it did.
    demands: list[tuple[str, bool]] = field(default_factory=list)
    history: History = field(default_factory=History)

    @property
    def violations(self) -> int:
        """How many there are in all."""
        return sum(len(finding.violations) for finding in self.findings)

    @property
    def demanding(self) -> bool:
        """Whether the run saw enough."""
        return all(met for _, met in self.demands)


def run(
    home: Path,
    seed: int,
    seconds: float,
    *,
    options: Options | None = None,
    say: Say = lambda _line: None,
    keep: Path | None = None,
) -> Report:
    """One run in an empty folder `home`. `keep` names a folder for the logs of a run that failed.

    Raises AssertionError when the stack does not come up, before or after the faults.
    """
    options = options or Options()
    report = Report(seed, seconds)
    say(f"seed {seed}: starting the stack")
    with installed(home, options, seed) as installation:
        tenants, ledgers = make_tenants()
        report.history = history = History()
        prepare(installation.url, tenants, history, seconds)
        staff = Staff(installation, tenants, history, seed)
        events = event_ledgers(ledgers)
        every = ledgers | {f"events of {name}": ledger for name, ledger in events.items()}
        url = installation.env["TRIDENT_DATABASE_URL"]
        bookkeeper, listener = Bookkeeper(url, ledgers), Listener(url, every)
        notified = partial(listener.reached, ledgers.values())
        bookkeeper.start()
        listener.start()
        try:
            say(f"seed {seed}: {seconds:.0f} s of faults")
            healed_at = _strike(installation, options, tenants, staff, notified, report)
            say(f"seed {seed}: healing and draining")
            installation.heal(options)
            report.figures["seconds to heal"] = time.monotonic() - healed_at
            staff.finish()
            staff.take_old_keys_out()
            _drain(every, report, healed_at)
        finally:
            bookkeeper.stop()
            listener.stop()
        say(f"seed {seed}: checking")
        if options.tampering:
            installation.as_superuser(options.tampering)
        evidence = {name: read_evidence(name, ledger) for name, ledger in ledgers.items()}
        told = {name: read_evidence(name, ledger) for name, ledger in events.items()}
        _check(installation, tenants, evidence, told, report)
        report.findings += [
            merged(books.notified(one, listener) for one in (*evidence.values(), *told.values())),
            books.snapshots(bookkeeper.wrong, bookkeeper.snapshots, evidence),
        ]
        if keep is not None and report.violations:
            keep_logs(installation, keep)
            say(f"seed {seed}: the logs of its processes are in {keep}")
    _judge(report)
    return report


def _strike(
    installation: Installation,
    options: Options,
    tenants: list[Tenant],
    staff: Staff,
    notified: Callable[[], int],
    report: Report,
) -> float:
    """Clients work and faults strike, for as long as the run lasts; when the faults ended."""
    crowd = Crowd(installation.url, tenants, report.history, report.seed)
    staff.start(report.seconds)
    faults = Faults(installation, options, report.history, report.seed, report.seconds)
    began = time.monotonic()
    try:
        time.sleep(report.seconds)
        while (
            not _seen(report, faults, notified())
            and time.monotonic() - began < LONGEST * report.seconds
        ):
            time.sleep(LOOK_S)
    finally:
        crowd.stop()
        staff.stop()
        faults.stop()
    ended = time.monotonic()
    report.figures["seconds of faults"] = ended - began
    report.struck = dict(faults.struck)
    return ended


def _seen(report: Report, faults: Faults, notified: int) -> bool:
    """Whether every fault that was planned has struck, and enough has happened meanwhile."""
    share = report.seconds / FULL_S
    acknowledged, unknown = report.history.seen()
    acts = identity.tally(list(report.history.acts))
    return (
        faults.all_struck
        and acknowledged >= ACKNOWLEDGED_MIN * share
        and unknown >= UNKNOWN_MIN * share
        and notified >= NOTIFIED_MIN * share
        and all(acts[name] >= SEEN_MIN * share for name in identity.SEEN)
    )


def _drain(ledgers: dict[str, LedgerRef], report: Report, began: float) -> None:
    """Wait until every ledger is notified to its end, and nothing waits for its time.

    How long that took since the faults were lifted.
    """
    app_engine().dispose()
    seen = _progress(ledgers)
    moved = time.monotonic()
    while (now := time.monotonic()) - began < DRAIN_S:
        if all(one.drained for one in seen) and now - began > STRAGGLERS_S:
            break
        time.sleep(LOOK_S)
        before, seen = seen, _progress(ledgers)
        if before != seen:
            moved = time.monotonic()
    ended = moved if all(one.drained for one in seen) else time.monotonic()
    report.figures["seconds to drain"] = ended - began
    drained = Finding(f"drained within {DRAIN_S:.0f} s", of="ledgers")
    for name, one in zip(ledgers, seen, strict=True):
        said = f"{name} is notified up to {one.notified} of {one.accepted}, {one.due} are to be due"
        drained.look(one.drained, said)
    report.findings.append(drained)


class Reached(NamedTuple):
    """How far a ledger has come, and how many operations wait for their time."""

    due: int
    accepted: int
    notified: int

    @property
    def drained(self) -> bool:
        """Nothing is left to be done, and nothing will come by itself."""
        return self.accepted == self.notified and not self.due


def _progress(ledgers: dict[str, LedgerRef]) -> list[Reached]:
    """How far each ledger has come. What is due is read first: what comes of it is seen then."""
    reached = []
    for ledger in ledgers.values():
        with tenant_reading(ledger.tenant_id) as reading:
            due = reading.execute(text(DUE), {"ledger": ledger.ledger_id}).scalar_one()
        with raw_connection(app_engine()) as connection:
            progress = read_progress(connection, ledger)
        reached.append(Reached(due, progress.accept, progress.notify))
    return reached


def _check(
    installation: Installation,
    tenants: list[Tenant],
    evidence: dict[str, Evidence],
    events: dict[str, Evidence],
    report: Report,
) -> None:
    """Hold answers, rows, API and logs against each other."""
    history = report.history
    report.findings += promises.check_promises(history, evidence)
    report.findings += books.check_books(evidence, events)
    report.findings += identity.check_identity(history, events)
    client = Client("check", installation.url, tenants, history)
    report.findings += check_privacy(installation, client, history, evidence)
    report.findings += check_api(client, evidence)
    report.findings.append(check_logs(installation.logs, installation.processes))
    report.figures |= promises.tally(history, evidence)
    report.figures |= identity.tally(history.acts)
    report.figures["longest wait, acknowledged to notified (s)"] = _longest_wait(history, evidence)


def _longest_wait(history: History, evidence: dict[str, Evidence]) -> float:
    """By the true clock, which `runs.at` tells."""
    longest = 0.0
    for attempt in history.attempts:
        if attempt.result == "ok" and not attempt.replayed:
            for run in evidence[attempt.tenant].runs.get("notify", []):
                if run.first <= attempt.position <= run.last:
                    longest = max(longest, run.at - attempt.answered_at)
    return longest


def _judge(report: Report) -> None:
    """Did the run see enough?"""
    share = report.seconds / FULL_S
    for what, least in (
        ("acknowledged operations", ACKNOWLEDGED_MIN),
        ("unknown attempts", UNKNOWN_MIN),
        ("notified under faults", NOTIFIED_MIN),
        *((name, DECIDED_MIN) for name in promises.DECIDED),
        *((name, SEEN_MIN) for name in (*promises.SEEN, *identity.SEEN)),
    ):
        wanted = round(least * share)
        report.demands.append((f"{wanted:,} {what}", report.figures[what] >= wanted))
    rare = [kind for kind, times in report.struck.items() if times < TIMES]
    report.demands.append((f"every fault {TIMES} times", not rare))
