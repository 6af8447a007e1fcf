"""Run all checks on a ledger."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, text

from models.db import tenant_reading
from models.ledger import LedgerRef
from pipeline import heads
from pipeline.accounts import accounts
from pipeline.audit import Head
from pipeline.progress import read_progress
from pipeline.verify.accounts import AccountsCheck
from pipeline.verify.chain import ChainCheck, check_head
from pipeline.verify.erasures import check_erasures
from pipeline.verify.finding import Fault, Finding, FoundError
from pipeline.verify.reading import chunks
from pipeline.verify.replay import ReplayCheck
from pipeline.verify.rules import check_rules
from pipeline.verify.runs import check_runs
from pipeline.verify.shifts import ShiftsCheck
from pipeline.verify.strays import check_strays
from pipeline.verify.walk import LogCheck, PostingsCheck, VersionsCheck

CHECKS = ("log", "runs", "postings", "versions", "accounts", "shifts", "chain", "head", "replay")
# Each statement reads one chunk. The longest sorts all accounts: a million take some seconds.
STATEMENT_TIMEOUT_MIN = 10

OnProgress = Callable[[int, int], None]  # positions walked, positions in all


def verify(ledger: LedgerRef, on_progress: OnProgress = lambda _done, _all: None) -> list[Finding]:
    """The findings of all CHECKS on the ledger, in that order, from one snapshot.

    `on_progress` hears how far the walk along the log is.
    """
    # Read before the snapshot is taken: a block whose head is kept is then in the snapshot.
    kept = _read_kept(ledger)
    with tenant_reading(ledger.tenant_id) as connection:
        connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_MIN}min'"))
        return Verification(connection, ledger, kept).run(on_progress)


def _read_kept(ledger: LedgerRef) -> Head | Fault | None:
    try:
        return heads.read_head(ledger)
    except Exception as error:  # noqa: BLE001 - S3 and files fail in many ways; none may pass
        return Fault(f"it cannot be read: {type(error).__name__}: {error}")


class Verification:
    """One run of all checks within one transaction."""

    def __init__(
        self, connection: Connection, ledger: LedgerRef, kept: Head | Fault | None
    ) -> None:
        driver: Any = connection.connection.driver_connection
        self._connection = connection
        self._cursor = driver.cursor()
        self._ledger = ledger
        self._kept = kept
        self._reached = read_progress(driver, ledger)
        self._faults: dict[str, Fault] = {}
        self._examined: dict[str, str] = {}
        self._not_made: set[str] = set()

    def run(self, on_progress: OnProgress) -> list[Finding]:
        """Every check to its end or its first fault."""
        self._walk(on_progress)
        self._try("runs", self._check_runs)
        self._check_chain()
        return [
            Finding(
                check,
                self._examined.get(check, ""),
                self._faults.get(check),
                check not in self._not_made,
            )
            for check in CHECKS
        ]

    def _try(self, check: str, act: Callable[..., None], *args: Any) -> None:
        """Go on with a check, unless it has found something already."""
        if check not in self._faults:
            try:
                act(*args)
            except FoundError as found:
                self._faults[check] = found.fault

    def _walk(self, on_progress: OnProgress) -> None:
        """The checks that go along the log, then along the accounts."""
        log, postings = LogCheck(self._ledger), PostingsCheck(self._reached)
        versions, shifts = VersionsCheck(), ShiftsCheck()
        replay = ReplayCheck(self._cursor, self._ledger, self._reached)
        for chunk in chunks(self._cursor, self._ledger):
            self._try("log", log.look, chunk)
            self._try("postings", postings.look, chunk)
            self._try("versions", versions.look, chunk)
            self._try("replay", replay.look, chunk)
            self._try("shifts", shifts.look, chunk)
            on_progress(chunk.last, self._reached.accept)
        self._try("log", check_strays, self._cursor, self._ledger, self._reached)
        self._try("log", check_erasures, self._cursor, self._ledger, self._reached)
        self._try("shifts", shifts.check, self._cursor, self._ledger)
        self._examined |= {
            "shifts": f"{shifts.count:,} date shifts",
            "log": f"{log.count:,} operations",
            "postings": f"{postings.count:,} postings",
            "versions": f"{versions.count:,} versions",
            "replay": f"{replay.count:,} operations",
        }
        self._check_accounts(AccountsCheck(versions.running), replay)

    def _check_accounts(self, rows: AccountsCheck, replay: ReplayCheck) -> None:
        """The rows against their postings, if these are whole, and against the replay."""
        whole = "versions" not in self._faults
        for account in accounts(self._connection, self._ledger):
            if whole:
                self._try("accounts", rows.check, account)
            self._try("replay", replay.check_account, account)
        self._try("replay", replay.check_no_more_accounts)
        self._try("replay", replay.check_pending)
        self._try("replay", check_rules, self._cursor, self._ledger, replay.books)
        if whole:
            self._try("accounts", rows.check_no_more)
            self._examined["accounts"] = f"{rows.count:,} accounts"
        else:
            self._skip("accounts", "versions are at fault")

    def _skip(self, check: str, why: str) -> None:
        self._not_made.add(check)
        self._examined[check] = why

    def _check_runs(self) -> None:
        count = check_runs(self._cursor, self._ledger, self._reached)
        self._examined["runs"] = f"{count:,} runs"

    def _check_chain(self) -> None:
        chain = ChainCheck(self._cursor, self._ledger, self._reached)
        self._try("chain", chain.check)
        self._examined["chain"] = f"{chain.head.height:,} blocks"
        if isinstance(self._kept, Head):
            self._examined["head"] = f"block {self._kept.height:,}"
            self._try("head", check_head, self._cursor, self._ledger, self._kept)
        elif self._kept is None:
            self._skip("head", "none is kept outside")
        else:
            self._faults["head"] = self._kept
