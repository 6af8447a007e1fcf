"""Who is restricted does not sign in, and who has seen a key's secret approves nothing of it.

Whether a person's data may be used stood with the subjects alone (0017), and signing in never asked
there. It stands with the person now, whose row is locked by whatever lets somebody in: a session
and a restriction at the same moment come one behind the other.

`by` of a principal are those who have seen the secret of its API key. They might not approve what
the key had submitted, but only the code above the database knew that.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

RESTRICTED = """
ALTER TABLE people ADD restricted boolean NOT NULL DEFAULT false;
GRANT UPDATE (restricted) ON people TO trident_app;
"""

# As in 0005, and: nobody who stands in `by` of the principal that is approved.
APPROVALS_GUARD = """
CREATE OR REPLACE FUNCTION approvals_guard() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    before record;
    moved boolean;
BEGIN
    moved := EXISTS (
        SELECT FROM postings
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id
           AND position = NEW.position);
    IF NEW.effect = 'wait' THEN
        IF NEW.number <> 0 OR NEW.amount IS NULL OR moved THEN
            RAISE EXCEPTION 'decisions: % cannot wait for approvals', NEW.target
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    SELECT * INTO before FROM decisions
     WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND target = NEW.target
     ORDER BY number DESC LIMIT 1;
    IF before.effect IS NULL OR before.effect NOT IN ('wait', 'approve')
       OR before.remaining IS NULL THEN
        RAISE EXCEPTION 'decisions: % does not wait for approvals', NEW.target
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.effect <> 'approve' THEN
        IF NOT NEW.terminal OR moved THEN
            RAISE EXCEPTION 'decisions: % ends what % waits for', NEW.effect, NEW.target
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF EXISTS (
        SELECT FROM operations
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id
           AND (position = NEW.target
                AND (coalesce(principal->>'sub', '') = NEW.actor
                     OR NEW.actor IN (SELECT json_array_elements_text(principal->'by')))
                OR position = NEW.position AND coalesce(principal->>'sub', '') <> NEW.actor)) THEN
        RAISE EXCEPTION 'decisions: % may not approve %', NEW.actor, NEW.target
            USING ERRCODE = 'check_violation';
    END IF;
    IF before.remaining > 1 AND (moved OR NEW.amount IS DISTINCT FROM 1)
       OR before.remaining = 1 AND NEW.amount IS DISTINCT FROM 1 AND NEW.amount IS NOT NULL THEN
        RAISE EXCEPTION 'decisions: % lacks % approvals, of which one is given',
            NEW.target, before.remaining USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""


def upgrade() -> None:
    op.execute(RESTRICTED)
    op.execute(APPROVALS_GUARD)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
