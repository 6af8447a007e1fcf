"""What names a subject: operations and accounts, found by its mentions."""

from typing import NamedTuple

from sqlalchemy import Connection, text

from models.ledger import LedgerRef

_POSITIONS = """
    SELECT DISTINCT k.position
      FROM subject_mentions m
     CROSS JOIN LATERAL (
           SELECT position FROM idempotency_keys k
            WHERE k.tenant_id = :tenant AND k.ledger_id = :ledger AND k.key_hash = m.key_hash
            LIMIT 1) k
     WHERE m.tenant_id = :tenant AND m.ledger_id = :ledger AND m.subject = :subject
       AND k.position > :above AND k.position < :below
     ORDER BY k.position {order} LIMIT :many
"""
OLDEST = text(_POSITIONS.format(order="ASC"))
NEWEST = text(_POSITIONS.format(order="DESC"))
CODES = text("""
    SELECT DISTINCT account COLLATE "C" AS code FROM subject_mentions
     WHERE tenant_id = :tenant AND ledger_id = :ledger AND subject = :subject
       AND account COLLATE "C" > :after AND account <> ''
     ORDER BY code LIMIT :many
""")
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
        }
