"""What names a subject: operations and accounts, found by its mentions."""

from typing import NamedTuple

from sqlalchemy import Connection, text

from models.ledger import LedgerRef
from pipeline.privacy.personal import PREFIX

# A mention may be of a request that was refused because its key had made another operation before:
# what the operation itself says counts.
_MENTIONED = """
      FROM (SELECT DISTINCT key_hash{account} FROM subject_mentions
             WHERE tenant_id = :tenant AND ledger_id = :ledger AND subject = :subject) m
     CROSS JOIN LATERAL (
           SELECT position FROM idempotency_keys k
            WHERE k.tenant_id = :tenant AND k.ledger_id = :ledger AND k.key_hash = m.key_hash
            LIMIT 1) k
"""
_SAYS_SO = """
     CROSS JOIN LATERAL (
           SELECT body FROM operations o
            WHERE o.tenant_id = :tenant AND o.ledger_id = :ledger AND o.position = k.position
            LIMIT 1) o
     WHERE strpos(o.body::text, :said) > 0
"""
# Put in order first, so that no more operations are read than are wanted.
_POSITIONS = (
    "SELECT k.position FROM (SELECT k.position"  # noqa: S608 - ours
    + _MENTIONED.format(account="")
    + " WHERE k.position > :above AND k.position < :below ORDER BY k.position {order} OFFSET 0) k"
    + _SAYS_SO
    + " ORDER BY k.position {order} LIMIT :many"
)
OLDEST = text(_POSITIONS.format(order="ASC"))
NEWEST = text(_POSITIONS.format(order="DESC"))
CODES = text(
    'SELECT DISTINCT m.account COLLATE "C" AS code'
    + _MENTIONED.format(account=", account")
    + _SAYS_SO
    + """ AND m.account COLLATE "C" > :after AND m.account <> '' ORDER BY code LIMIT :many"""
)
# Beyond the end of any log.
END = 2**40


class Naming(NamedTuple):
    """A subject, and the ledger whose operations and accounts are asked for."""

    ledger: LedgerRef
    subject: str

    def positions(
        self, connection: Connection, many: int, after: int | None = None, *, newest: bool = True
    ) -> list[int]:
        """Where operations stand that name it, behind a position in the order that is wanted."""
        above, below = (0, after or END) if newest else (after or 0, END)
        asked = {**self._scope(), "above": above, "below": below, "many": many}
        return list(connection.execute(NEWEST if newest else OLDEST, asked).scalars())

    def codes(self, connection: Connection, many: int, after: str = "") -> list[str]:
        """The accounts that carry or carried its data, by their codes."""
        asked = {**self._scope(), "after": after, "many": many}
        return list(connection.execute(CODES, asked).scalars())

    def _scope(self) -> dict[str, object]:
        ledger = self.ledger
        return {
            "tenant": ledger.tenant_id,
            "ledger": ledger.ledger_id,
            "subject": self.subject,
            # As it stands in a canonical body; no character of a reference is escaped there.
            "said": f'"subject":"{self.subject.removeprefix(PREFIX)}"',
        }
