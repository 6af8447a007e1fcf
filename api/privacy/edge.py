"""Where personal data is sealed: between reading a request and handing its operations in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import orjson
import structlog

from api.errors import Problem, tampered
from api.intake import Read
from api.state import state
from models.db import tenant_reading, tenant_writing
from models.key_ring import KeyRingError, key_ring
from models.ledger import LedgerRef
from models.sealed import TamperedError
from pipeline.privacy.personal import masked
from pipeline.privacy.sealing import Withheld, is_marked, seal_all
from pipeline.receipt import Submission

log = structlog.get_logger("trident.privacy")


def seal(ledger: LedgerRef, read: Read) -> Read:
    """The operation with what is personal sealed; raises Problem."""
    (made,) = seal_many(ledger, [read])
    if isinstance(made, Problem):
        raise made
    return made


def seal_many(ledger: LedgerRef, reads: Sequence[Read]) -> list[Read | Problem]:
    """Each of them sealed, or why it may not be stored. Operations with nothing personal pay no
    statement."""
    marked = [one for one in reads if is_marked(one.submission)]
    if not marked:
        return list(reads)
    with keys_at_hand(), tenant_writing(ledger.tenant_id, state().engine) as connection:
        submissions = [one.submission for one in marked]
        made = iter(seal_all(connection, key_ring(), ledger, submissions))
    return [_read(next(made)) if is_marked(one.submission) else one for one in reads]


def seal_trial(ledger: LedgerRef, submissions: Sequence[Submission]) -> list[Submission]:
    """The same for operations that are only tried; raises Problem."""
    marked = [one for one in submissions if is_marked(one)]
    if not marked:
        return list(submissions)
    with keys_at_hand(), tenant_reading(ledger.tenant_id, state().engine) as connection:
        made = iter(seal_all(connection, key_ring(), ledger, marked, trial=True))
    tried = [next(made) if is_marked(one) else one for one in submissions]
    for index, one in enumerate(tried):
        if isinstance(one, Withheld):
            raise Problem(one.code, f"Item {index}: {one.detail}", param="personal.subject")
    return [one for one in tried if isinstance(one, Submission)]


@contextmanager
def keys_at_hand() -> Iterator[None]:
    """Let what is wrong with keys leave as a problem, and be told of."""
    try:
        yield
    except TamperedError as error:
        raise tampered(error) from None
    except KeyRingError as error:
        log.error("keys_unavailable", reason=str(error))
        raise Problem(
            "keys_unavailable", "The keys of personal data cannot be had. Try again later."
        ) from None


def _read(made: Submission | Withheld) -> Read | Problem:
    if isinstance(made, Withheld):
        members = {} if made.operation is None else {"operation": made.operation}
        return Problem(made.code, made.detail, param="personal.subject", **members)
    return Read(made, masked(made.kind, orjson.loads(made.body)))
