"""Group commit: request threads hand their operations in, a few threads write them to the log.

A writer takes everything that waits for one ledger, commits it once and answers all. Nothing waits
for a timer: an idle request is written at once. Several writers, because one ledger's accept lock
may be held by an import: with one writer every other ledger would wait for it too.

    stored or replayed ── a receipt, and the bell is rung
    bad data ──────────── halved until the culprit stands alone: `unstorable`
    lost around COMMIT ── again with the same submissions, until the deadline: stored once in total
    lock or time-out ──── `ledger_busy`, nothing stored
    nobody answers ────── `intake_timeout` when the request's time is up; it may have been stored
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg2
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from api.parcel import Answer, ClosedError, FullError, Group, Lines, Parcel, Unstored
from models.db import raw_connection
from models.ledger import LedgerRef
from models.settings import SettingsError
from pipeline.accept import TENANT_DELETED, CommitUnknownError, accept, is_lost
from pipeline.receipt import Accepted, Submission

# Ledgers that are written side by side: their fsyncs are shared by Postgres' own group commit, and
# a ledger whose lock somebody holds stops one of four.
THREADS = 4
# Four of the largest bulk requests; in front of the last of them are two seconds of work.
WAITING_MAX = 20_000
# A chunk of a bulk request: the single operations of the same ledger wait behind it (p99
# 66 ms behind 1,000 rows, 692 ms behind 20,000).
CHUNK = 1_000
# How long a request waits for its receipt. Postgres gives up sooner (models.db: INTAKE_TIMEOUT_MS
# for a statement, LOCK_TIMEOUT_MS for the lock); 5,000 operations are five chunks.
SINGLE_WITHIN_S = 3.0
BULK_WITHIN_S = 10.0
# A writer that cannot reach its database gives up this much before the request does, so that the
# request hears whether something may have been stored.
GIVE_UP_EARLIER_S = 0.25
# Postgres gives a statement up after three seconds: who has been at a group for so long is waiting
# for an answer that will not come.
STUCK_S = 2 * BULK_WITHIN_S
# Between attempts to reach a database that went away under a group: a restart takes a second.
RECONNECT_PAUSE_S = 0.1

# Class 22 is bad data, 23 a broken constraint: the submission's own fault, if anybody's.
DATA_CLASSES = ("22", "23")
TIMEOUTS = ("55P03", "57014")

AGAIN = "Send it again, with the same idempotency key, in a second."
FULL = Unstored("intake_full", f"Nothing was stored. {AGAIN}")
DOWN = Unstored("intake_down", f"The API process must be restarted. {AGAIN}")
TIMED_OUT = Unstored("intake_timeout", f"It may have been stored. {AGAIN}")
BUSY = Unstored("ledger_busy", f"Nothing was stored. {AGAIN}")
AWAY = Unstored("database_unavailable", f"Nothing was stored. {AGAIN}")
DELETED = Unstored("token_invalid", "The token's tenant is deleted. Nothing was stored.")
BROKEN = Unstored("internal_error", f"It may have been stored. {AGAIN}")
UNSTORABLE = Unstored("unstorable", "Nothing was stored: change the content before you try again.")

log = structlog.get_logger("trident.writer")

Ring = Callable[[LedgerRef, int], None]


class UnreachableError(Exception):
    """No connection could be made: nothing was sent, so nothing was stored."""


class Writer:
    """The writers' threads of one process, and the lines in which operations wait for them."""

    def __init__(
        self,
        engine: Engine,
        ring: Ring,
        max_lag: int,
        *,
        threads: int = THREADS,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._lines = Lines(waiting_max)
        self._threads = [
            _Thread(self._lines, engine, ring, max_lag, f"trident-writer-{number}")
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, ledger: LedgerRef, submission: Submission) -> Answer:
        """Store one operation; what came of it."""
        due = time.monotonic() + SINGLE_WITHIN_S
        return self._put([Parcel(ledger, [submission], due, chunk=False)])[0]

    def put_all(self, ledger: LedgerRef, submissions: Sequence[Submission]) -> list[Answer]:
        """Store many, in their order; an answer for each one."""
        due = time.monotonic() + BULK_WITHIN_S
        return self._put(
            [
                Parcel(ledger, submissions[at : at + CHUNK], due, chunk=True)
                for at in range(0, len(submissions), CHUNK)
            ]
        )

    def trouble(self) -> str | None:
        """Why the writer cannot be relied upon, or None."""
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        if dead:
            return f"{', '.join(dead)} died: restart the API process"
        stuck = [thread.name for thread in self._threads if thread.writes_for_s() > STUCK_S]
        return f"{', '.join(stuck)} hears nothing from the database" if stuck else None

    def stop(self) -> None:
        """Write what was taken, refuse what was not, and end."""
        for parcel in self._lines.close():
            parcel.answer([DOWN] * len(parcel.submissions))
        for thread in self._threads:
            thread.join(SINGLE_WITHIN_S)

    def _put(self, parcels: Sequence[Parcel]) -> list[Answer]:
        refused = self._hand_in(parcels)
        if refused is not None:
            return [refused for parcel in parcels for _ in parcel.submissions]
        answers: list[Answer] = []
        for parcel in parcels:
            received = parcel.wait(parcel.due - time.monotonic())
            if received is None:
                _abandon(parcels)
                received = [TIMED_OUT] * len(parcel.submissions)
            answers += received
        return answers

    def _hand_in(self, parcels: Sequence[Parcel]) -> Unstored | None:
        """Let them wait in their line; why not."""
        if not any(thread.is_alive() for thread in self._threads):
            return DOWN
        try:
            self._lines.put(parcels)
        except FullError:
            return FULL
        except ClosedError:
            return DOWN
        return None


def _abandon(parcels: Sequence[Parcel]) -> None:
    """The last one first: what is written of a request is always its beginning."""
    for parcel in reversed(parcels):
        parcel.abandoned = True


class _Thread(threading.Thread):
    """One writer: takes a group, writes it, answers it, for ever."""

    def __init__(self, lines: Lines, engine: Engine, ring: Ring, max_lag: int, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._lines = lines
        self._connection = Held(engine)
        self._ring = ring
        self._max_lag = max_lag
        self._began: float | None = None  # time.monotonic(); None while it waits for work

    def writes_for_s(self) -> float:
        """For how long it has been at its group."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def run(self) -> None:
        """Until the lines are closed. No fault of a group ends the thread, and none goes silent."""
        while (group := self._lines.take()) is not None:
            self._began = time.monotonic()
            try:
                self._write(group)
            except Exception as error:
                log.exception("group_failed", ledger=group.ledger.ledger_id)
                self._connection.lose(error)
            finally:
                group.answer_all(BROKEN)
                self._lines.give_back(group.ledger)
                self._began = None
        self._connection.lose(ClosedError())

    def _write(self, group: Group) -> None:
        answers = self._store(group.ledger, group.submissions, group.due)
        new = [one.position for one in answers if isinstance(one, Accepted) and not one.replayed]
        if new:
            self._ring(group.ledger, new[-1])
        for submission in group.submissions:
            if submission.event and submission.event.position is not None:
                self._ring(submission.event.ledger, submission.event.position)
        group.answer(answers)

    def _store(
        self, ledger: LedgerRef, submissions: Sequence[Submission], due: float
    ) -> list[Answer]:
        """Receipts; for a group that fails on its data, those of its halves."""
        try:
            return self._accept(ledger, submissions, due)
        except CommitUnknownError:
            return [TIMED_OUT] * len(submissions)
        except UnreachableError:
            return [AWAY] * len(submissions)
        except psycopg2.Error as error:
            code = error.pgcode or ""
            if code.startswith(DATA_CLASSES):
                return self._halve(ledger, submissions, due)
            if code == TENANT_DELETED:
                return [DELETED] * len(submissions)
            log.warning("group_not_stored", ledger=ledger.ledger_id, code=code)
            return [BUSY if code in TIMEOUTS else AWAY] * len(submissions)

    def _halve(
        self, ledger: LedgerRef, submissions: Sequence[Submission], due: float
    ) -> list[Answer]:
        if len(submissions) == 1:
            log.error("submission_unstorable", ledger=ledger.ledger_id)
            return [UNSTORABLE]
        middle = len(submissions) // 2
        first = self._store(ledger, submissions[:middle], due)
        return first + self._store(ledger, submissions[middle:], due)

    def _accept(
        self, ledger: LedgerRef, submissions: Sequence[Submission], due: float
    ) -> list[Answer]:
        """accept; after a loss, again until it is known what came of it or the time is up."""
        unknown: list[CommitUnknownError] = []
        lost: psycopg2.Error | None = None
        while lost is None or time.monotonic() < due - GIVE_UP_EARLIER_S:
            try:
                connection = self._connection.get()
            except UnreachableError:
                if lost is None:
                    raise
                time.sleep(RECONNECT_PAUSE_S)
                continue
            try:
                receipts = accept(connection, ledger, submissions, self._max_lag)
                if not unknown:
                    return [*receipts]
                return [_as_first_meant(one, at, unknown) for at, one in enumerate(receipts)]
            except psycopg2.Error as error:
                if isinstance(error, CommitUnknownError):
                    unknown.append(error)
                elif not is_lost(connection, error):
                    raise (unknown[0] if unknown else error) from error
                lost = error
                self._connection.lose(error)
        log.warning("group_lost", ledger=ledger.ledger_id, unknown=bool(unknown))
        raise unknown[0] if unknown else lost


def _as_first_meant(answer: Answer, at: int, unknown: Sequence[CommitUnknownError]) -> Answer:
    """What an earlier attempt at the same group stored is no replay to the request that made it."""
    if isinstance(answer, Accepted) and answer.replayed:
        meant = answer._replace(replayed=False)
        if any(error.receipts[at] == meant for error in unknown):
            return meant
    return answer


class Held:
    """A connection that one thread holds for long: opened when needed, again after a loss."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._context: Any = None
        self._connection: Any = None

    def get(self) -> Any:
        """The connection, in autocommit mode; raises UnreachableError."""
        if self._context is None:
            context = raw_connection(self._engine)
            try:
                self._connection = context.__enter__()
            except (psycopg2.Error, SQLAlchemyError, SettingsError) as error:
                log.warning("database_unreachable", error=str(error))
                raise UnreachableError from error
            self._context = context
        return self._connection

    def lose(self, error: Exception) -> None:
        """Throw it away: it is broken, or nobody needs it any more."""
        context, self._context, self._connection = self._context, None, None
        if context is not None:
            context.__exit__(type(error), error, error.__traceback__)
