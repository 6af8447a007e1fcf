"""Rows that belong to no operation: outcomes and keys outside the log."""

from typing import Any

from models.ledger import LedgerRef
from pipeline.progress import Progress
from pipeline.verify.finding import FoundError

OUTSIDE = """
SELECT (SELECT position FROM postings
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position > %(last)s
         ORDER BY position LIMIT 1),
       (SELECT position FROM rejections
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position > %(last)s
         ORDER BY position LIMIT 1),
       (SELECT position FROM decisions
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position > %(last)s
         ORDER BY position LIMIT 1),
       (SELECT count(*) FROM idempotency_keys
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s)
"""


def check_strays(cursor: Any, ledger: LedgerRef, reached: Progress) -> None:
    """Nothing stands behind the end of the log, and it has as many keys as operations."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "last": reached.accept}
    cursor.execute(OUTSIDE, scope)
    posting, rejection, decision, keys = cursor.fetchone()
    for what, position in (
        ("postings", posting),
        ("a rejection", rejection),
        ("a decision", decision),
    ):
        if position is not None:
            raise FoundError(f"it has {what}, and the log ends at {reached.accept}", position)
    if keys != reached.accept:
        raise FoundError(f"the log has {reached.accept} operations and {keys} idempotency keys")
