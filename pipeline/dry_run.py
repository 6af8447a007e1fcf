"""Dry run: what would become of operations now, without putting them into the log.

The same judgement and the same pure core as the stages, over books that were read in one
transaction that writes nothing. Operations take effect one after the other, as they would in the
log, behind what is posted by now: what still waits in the log is counted, not applied.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.accept import key_hash
from pipeline.authorize import permission
from pipeline.ledger import Books, Decision, Entry, Posting
from pipeline.load import load
from pipeline.perform import entry_of, perform
from pipeline.progress import read_progress
from pipeline.receipt import Submission
from pipeline.refusal import Refusal
from pipeline.stage import Claim, Operation, Span
from pipeline.validate import meaning

# Operations whose accounts are loaded together: about a megabyte.
TOGETHER = 1_000

KNOWN = """
SELECT o.idempotency_key, o.kind, o.body::text
  FROM unnest(%(hashes)s::uuid[]) hash
 CROSS JOIN LATERAL (
       SELECT position FROM idempotency_keys
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND key_hash = hash LIMIT 1) k
 CROSS JOIN LATERAL (
       SELECT idempotency_key, kind, body FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = k.position
        LIMIT 1) o
"""


class Line(NamedTuple):
    """A posting as it would be, with its account's code and type."""

    code: str
    type: str
    posting: Posting


class Outlook(NamedTuple):
    """What would become of one operation.

    `status`: posted, pending or rejected; replayed or conflict where its key is known.
    """

    status: str
    stage: str | None
    refusal: Refusal | None
    lines: list[Line]
    decisions: list[Decision]


class DryRun:
    """Tries operations on the books of a ledger, as they are within the connection's transaction.

    `as_of` is the last position that is posted, `waiting` how many operations of the log are not.
    """

    def __init__(self, connection: Connection, ledger: LedgerRef) -> None:
        driver: Any = connection.connection.driver_connection
        self._cursor = driver.cursor()
        self._ledger = ledger
        reached = read_progress(driver, ledger)
        self.as_of = reached.post
        self.waiting = reached.accept - reached.post
        self._next = reached.accept + 1
        self._now = self._read_now()
        self._books = Books()
        self._tried: dict[str, tuple[str, bytes]] = {}  # by key

    def outlooks(self, submissions: Iterator[Submission]) -> Iterator[Outlook]:
        """One for each, in their order. A key that came before is a replay or a conflict."""
        while part := list(islice(submissions, TOGETHER)):
            self._tried |= self._known(part)
            fresh: dict[int, Operation] = {}  # by place in the part
            for place, one in enumerate(part):
                if one.key not in self._tried:
                    self._tried[one.key] = one.kind, one.body
                    fresh[place] = self._operation(one)
            self._load([entry_of(operation) for operation in fresh.values()])
            for place, one in enumerate(part):
                if place in fresh:
                    yield self._try(fresh[place])
                else:
                    same = self._tried[one.key] == (one.kind, one.body)
                    yield Outlook("replayed" if same else "conflict", None, None, [], [])

    def _try(self, operation: Operation) -> Outlook:
        for stage, judge in (("validate", meaning), ("authorize", permission)):
            refusal = judge(operation)
            if refusal is not None:
                return Outlook("rejected", stage, refusal, [], [])
        effect = perform(self._books, entry_of(operation))
        decisions = [*self._books.decisions]
        self._books.decisions.clear()
        if isinstance(effect, Refusal):
            return Outlook("rejected", "post", effect, [], [])
        by_number = {account.number: account for account in self._books.accounts.values()}
        lines = []
        for posting in effect:
            account = by_number[posting.account]
            lines.append(Line(account.code, account.type, posting))
        waits = any(decision.number == 0 and not decision.terminal for decision in decisions)
        return Outlook("pending" if waits else "posted", None, None, lines, decisions)

    def _operation(self, submission: Submission) -> Operation:
        self._next += 1
        return Operation(
            self._ledger.ledger_id,
            self._next - 1,
            submission.kind,
            submission.body.decode(),
            self._now,
            submission.principal.decode(),
            rejected=False,
        )

    def _load(self, entries: Sequence[Entry]) -> None:
        """What these touch and those before did not: the books remember what was tried."""
        if not entries:
            return
        ledger_id = self._ledger.ledger_id
        span = Span(ledger_id, entries[0].position, entries[-1].position)
        work = Claim(self._cursor, "post", self._ledger.tenant_id, [span])
        found = load(work, entries)[ledger_id]
        found.accounts |= self._books.accounts
        found.targets |= self._books.targets
        found.usage.used |= self._books.usage.used
        found.settings = max(found.settings, self._books.settings, key=attrgetter("position"))
        found.last_number = max(found.last_number, self._books.last_number)
        found.opened, found.moved, found.altered = [], {}, {}
        self._books = found

    def _known(self, part: Sequence[Submission]) -> dict[str, tuple[str, bytes]]:
        hashes = arrays.words(key_hash(one.key) for one in part)
        scope = {"tenant": self._ledger.tenant_id, "ledger": self._ledger.ledger_id}
        self._cursor.execute(KNOWN, {**scope, "hashes": hashes})
        return {key: (kind, body.encode()) for key, kind, body in self._cursor.fetchall()}

    def _read_now(self) -> dt.datetime:
        self._cursor.execute("SELECT clock_timestamp()")
        (now,) = self._cursor.fetchone()
        moment: dt.datetime = now
        return moment
