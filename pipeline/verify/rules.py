"""The rules that a ledger keeps, and what is used of its limits: as the log makes them."""

from typing import Any

from models.ledger import LedgerRef
from pipeline import rules
from pipeline.ledger import Books, Counter
from pipeline.settings import NONE, Settings, document_of, read_settings
from pipeline.verify.finding import FoundError

USAGE = """
SELECT name, since, account, period, used FROM limit_usage
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
"""


def check_rules(cursor: Any, ledger: LedgerRef, replayed: Books) -> None:
    """What is kept of the ledger against what replaying its log gave; raises FoundError."""
    kept, given = _kept_settings(cursor, ledger), replayed.settings
    if (kept.position, document_of(kept)) != (given.position, document_of(given)):
        raise FoundError(
            f"the rules that are kept, of position {kept.position}, are not those that the log"
            f" sets at position {given.position}",
            given.position or kept.position,
        )
    cursor.execute(USAGE, {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id})
    left = {counter: replayed.usage.used[counter] for counter in replayed.usage.changed}
    for *counter, used in cursor.fetchall():
        expected = left.pop(Counter(*counter), 0)
        if used != expected:
            raise FoundError(_difference(Counter(*counter), used, expected))
    for missing, expected in left.items():
        raise FoundError(_difference(missing, 0, expected))


def _kept_settings(cursor: Any, ledger: LedgerRef) -> Settings:
    scope = {"tenant": ledger.tenant_id, "ledgers": [ledger.ledger_id]}
    cursor.execute(rules.SETTINGS, scope)
    for _, position, document in cursor.fetchall():
        return read_settings(position, document)
    return NONE


def _difference(counter: Counter, found: int, expected: int) -> str:
    of = f" of {counter.account}" if counter.account else ""
    return (
        f"{found} is kept as used of limit {counter.name}{of} in {counter.period}, and replaying"
        f" the log gives {expected}"
    )
