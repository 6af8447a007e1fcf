"""Replay the log through the pure core, and hold what comes out against what is stored.

What was rejected as `internal_error` failed for reasons that are not in the log: it is taken as it
is. Everything else follows from the log alone.
"""

from typing import NamedTuple

import orjson

from pipeline.authorize import permission
from pipeline.kinds import kind_of
from pipeline.ledger import Account, Books, Effect
from pipeline.progress import Progress
from pipeline.refusal import Refusal
from pipeline.stage import Operation
from pipeline.validate import meaning
from pipeline.verify.finding import FoundError
from pipeline.verify.reading import Chunk

GIVEN = "internal_error"


class Outcome(NamedTuple):
    """What the replay makes of an operation. No stage: none has come to a result yet."""

    stage: str
    effect: Effect


class ReplayCheck:
    """The log, replayed from empty books, gives these very rows."""

    def __init__(self, reached: Progress) -> None:
        self._reached = reached
        self.books = Books()
        self.count = 0

    def look(self, chunk: Chunk) -> None:
        """The next operations; raises FoundError."""
        for row in chunk.logged:
            operation = row.operation
            rejection = chunk.rejections.get(operation.position)
            self.count += 1
            if rejection is not None and rejection.code == GIVEN:
                continue
            stored = Outcome("post", chunk.postings.get(operation.position, []))
            if rejection is not None:
                stored = Outcome(rejection.stage, Refusal(rejection.code, rejection.detail))
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
        if position <= reached.validate and (refusal := meaning(operation)) is not None:
            return Outcome("validate", refusal)
        if position <= reached.authorize and (refusal := permission(operation)) is not None:
            return Outcome("authorize", refusal)
        if position <= reached.post:
            kind, body = kind_of(operation.kind), orjson.loads(operation.body)
            return Outcome("post", kind.apply(self.books, position, body))
        return Outcome("post", [])

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
