"""What is due: found ledger by ledger, and submitted once for each time that it was.

`number` counts how often what waits has changed, so each time at which it is due has an idempotency
key of its own. What came of a schedule's times is listed by those keys. docs/database.md.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NUMBER = """
ALTER TABLE pending_operations ADD number integer NOT NULL DEFAULT 0 CHECK (number >= 0);
"""

# Over all ledgers together the oldest would come first, and one ledger that is halted, with a
# thousand operations due, would hide everybody else's. Ledger by ledger each costs one look-up.
DUE = """
DROP INDEX pending_operations_due;
CREATE INDEX pending_operations_due ON pending_operations (tenant_id, ledger_id, due_at, target)
    WHERE due_at IS NOT NULL;
"""

# Both cost a transfer nothing: they hold none of its rows.
LISTS = """
CREATE INDEX decisions_schedules ON decisions (tenant_id, ledger_id, target)
    WHERE number = 0 AND effect = 'schedule';
CREATE INDEX operations_occurrences ON operations
    (tenant_id, ledger_id, idempotency_key COLLATE "C") WHERE kind = 'occur';
"""


def upgrade() -> None:
    op.execute(NUMBER)
    op.execute(DUE)
    op.execute(LISTS)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
