"""Keeping heads: the newest block of each ledger goes outside the database, beside the stages.

A store may be slow or away, so no stage waits for it. A head that was not kept when its process
was killed is covered by the head of the ledger's next block.
"""

from functools import lru_cache

from models.ledger import LedgerRef
from pipeline import heads
from tasks.errands import Errands

# A busy ledger seals many blocks in a second, and its newest head covers them all. What a process
# that is killed leaves unkept is at most this old.
SAME_LEDGER_MIN_S = 20.0
# How long a store that failed is left alone.
PAUSE_S = 5.0


def keep_all(due: dict[LedgerRef, int]) -> list[LedgerRef]:
    """Keep the heads, tenant by tenant; those that are still to be kept."""
    by_tenant: dict[int, list[LedgerRef]] = {}
    for ledger in due:
        by_tenant.setdefault(ledger.tenant_id, []).append(ledger)
    return [left for ledgers in by_tenant.values() for left in heads.keep(ledgers)]


@lru_cache
def keeper() -> Errands:
    """The process's keeper of heads. Made on first use, so never before a fork."""
    return Errands(
        "keeper",
        keep_all,
        every_s=lambda _many: SAME_LEDGER_MIN_S,
        rest_s=SAME_LEDGER_MIN_S,
        pause_s=PAUSE_S,
    )
