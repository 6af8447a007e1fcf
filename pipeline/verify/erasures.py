"""Erasures that the log of events tells of: whoever is erased has no key, and gets none back."""

from typing import Any

from models.ledger import EVENTS, LedgerRef
from pipeline.progress import Progress
from pipeline.verify.finding import FoundError

# The event that tells of one, with whose it is as its target.
ERASED = "subject.erased"

KEPT = """
SELECT o.position, o.body->>'target',
       CASE WHEN k.subject IS NULL THEN 'is not known any more' ELSE 'has a key again' END
  FROM operations o LEFT JOIN data_keys k
    ON k.tenant_id = %(tenant)s AND k.subject = o.body->>'target'
 WHERE o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s AND o.position <= %(last)s
   AND o.body->>'action' = %(erased)s AND (k.subject IS NULL OR k.wrapped IS NOT NULL)
 ORDER BY o.position LIMIT 1
"""
UNTOLD = """
SELECT s.erased_position, s.subject
  FROM subjects s LEFT JOIN operations o
    ON o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s AND o.position = s.erased_position
   AND o.body->>'action' = %(erased)s AND o.body->>'target' = s.subject
 WHERE s.tenant_id = %(tenant)s AND s.erased_position IS NOT NULL AND o.position IS NULL
 ORDER BY s.erased_position LIMIT 1
"""


def check_erasures(cursor: Any, ledger: LedgerRef, reached: Progress) -> None:
    """Of a ledger of events: what it tells of was done, and stays so; and the other way round."""
    if ledger.name != EVENTS:
        return
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
    asked = {**scope, "last": reached.accept, "erased": ERASED}
    cursor.execute(KEPT, asked)
    for position, subject, what in cursor:
        raise FoundError(f"{subject} was erased, and {what}", position)
    cursor.execute(UNTOLD, asked)
    for position, subject in cursor:
        raise FoundError(f"{subject} is erased, and the log does not say so there", position)
