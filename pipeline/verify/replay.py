"""Replay the log through the pure core, and hold what comes out against what is stored.

What was rejected as `internal_error` failed for reasons that are not in the log: it is taken as it
is. Everything else follows from the log alone.
"""

from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from models.ledger import LedgerRef
from pipeline.authorize import permission
from pipeline.kinds import KINDS
from pipeline.kinds.kind import no_one
from pipeline.ledger import Account, Books, Decision, Effect, Pending
from pipeline.load import load_targets
from pipeline.perform import entry_of, perform
from pipeline.progress import Progress
from pipeline.refusal import Refusal
from pipeline.stage import Operation
from pipeline.validate import meaning_of
from pipeline.verify.finding import FoundError
from pipeline.verify.reading import Chunk

GIVEN = "internal_error"

PENDING = """
SELECT target, effect, due_at, number FROM pending_operations
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
 ORDER BY target
"""


class Outcome(NamedTuple):
    """What came of an operation: at which stage, and what was decided by it."""

    stage: str
    effect: Effect
    decisions: list[Decision]


class ReplayCheck:
    """The log, replayed from empty books, gives these very rows."""

    def __init__(self, cursor: Any, ledger: LedgerRef, reached: Progress) -> None:
        self._cursor = cursor
        self._ledger = ledger
        self._reached = reached
        self.books = Books()
        self.pending: dict[int, Pending] = {}
        self.count = 0

    def look(self, chunk: Chunk) -> None:
        """The next operations; raises FoundError."""
        self._load_targets(chunk)
        for row in chunk.logged:
            operation = row.operation
            rejection = chunk.rejections.get(operation.position)
            self.count += 1
            if rejection is not None and rejection.code == GIVEN:
                continue
            decisions = chunk.decisions.get(operation.position, [])
            stored = Outcome("post", chunk.postings.get(operation.position, []), decisions)
            if rejection is not None:
                refusal = Refusal(rejection.code, rejection.detail)
                stored = Outcome(rejection.stage, refusal, decisions)
            replayed = self._replay(operation)
            if stored != replayed:
                raise FoundError(_difference(stored, replayed), operation.position)

    def _replay(self, operation: Operation) -> Outcome:
        try:
            return self._pass(operation)
        except Exception as error:  # a body that somebody changed may fail anywhere
            raise FoundError(
                f"it cannot be replayed: {type(error).__name__}: {error}", operation.position
            ) from error

    def _pass(self, operation: Operation) -> Outcome:
        """The stages, as far as they have come."""
        position, reached = operation.position, self._reached
        entry = entry_of(operation)
        if position <= reached.validate:
            refusal = meaning_of(entry.kind, entry.body, entry.accepted_at)
            if refusal is not None:
                return Outcome("validate", refusal, [])
        if position <= reached.authorize and (refusal := permission(operation)) is not None:
            return Outcome("authorize", refusal, [])
        if position > reached.post:
            return Outcome("post", [], [])
        effect = perform(self.books, entry)
        decisions = sorted(self.books.decisions)
        self._keep_pending()
        self.books.decisions.clear()
        return Outcome("post", effect, decisions)

    def _keep_pending(self) -> None:
        for target, pending in self.books.pending.items():
            self.pending.pop(target, None)
            if pending is not None:
                self.pending[target] = pending
        self.books.pending.clear()

    def _load_targets(self, chunk: Chunk) -> None:
        """What the chunk's operations name, as it was before them: what is proved by now."""
        self.books.targets.clear()
        entries = []
        for row in chunk.logged:
            kind = KINDS.get(row.operation.kind)
            if kind is None or kind.targets is no_one:
                continue
            with suppress(ValueError, KeyError, TypeError):  # a body that somebody changed
                entry = entry_of(row.operation)
                kind.targets(entry.body)
                entries.append(entry)
        ledger_id = self._ledger.ledger_id
        books, firsts = {ledger_id: self.books}, {ledger_id: chunk.after + 1}
        load_targets(self._cursor, self._ledger.tenant_id, books, entries, firsts)
        for position, target in self.books.targets.items():
            target.pending = self.pending.get(position)

    def check_pending(self) -> None:
        """What is kept as pending is what the log leaves pending; raises FoundError."""
        self._cursor.execute(
            PENDING, {"tenant": self._ledger.tenant_id, "ledger": self._ledger.ledger_id}
        )
        for target, *waits in self._cursor.fetchall():
            if self.pending.pop(target, None) != Pending(*waits):
                raise FoundError("what is pending of it is not what the log makes of it", target)
        for target in self.pending:
            raise FoundError("the log leaves it pending, and it is not kept as that", target)

    def check_account(self, account: Account) -> None:
        """One row of the accounts; raises FoundError."""
        replayed = self.books.accounts.pop(account.code, None)
        if replayed is None:
            raise FoundError("the log does not open this account", account=account.code)
        for name in Account.__dataclass_fields__:
            found, expected = getattr(account, name), getattr(replayed, name)
            if found != expected:
                raise FoundError(
                    f"its {name} is {found!r}, and replaying the log gives {expected!r}",
                    account=account.code,
                )

    def check_no_more_accounts(self) -> None:
        """All rows were looked at; raises FoundError where the log opened more."""
        for code in self.books.accounts:
            raise FoundError("the log opens this account, and it is not there", account=code)


def _difference(stored: Outcome, replayed: Outcome) -> str:
    if isinstance(stored.effect, Refusal) or isinstance(replayed.effect, Refusal):
        return f"it is stored as {_shown(stored)}, and replaying it gives {_shown(replayed)}"
    if len(stored.effect) != len(replayed.effect):
        return (
            f"it has {len(stored.effect)} postings, and replaying it gives {len(replayed.effect)}"
        )
    if stored.decisions != replayed.decisions:
        return f"it is stored as deciding {stored.decisions}, and replayed {replayed.decisions}"
    for found, expected in zip(stored.effect, replayed.effect, strict=True):
        for name, was, should in zip(found._fields, found, expected, strict=True):
            if was != should:
                return f"leg {expected.leg} has {name} {was}, and replaying it gives {should}"
    raise AssertionError("equal outcomes differ")


def _shown(outcome: Outcome) -> str:
    if isinstance(outcome.effect, Refusal):
        detail = orjson.dumps(outcome.effect.detail).decode()
        return f"rejected by {outcome.stage} as {outcome.effect.code} {detail}"
    return f"posted with {len(outcome.effect)} postings"
