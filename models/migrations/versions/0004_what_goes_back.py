"""What decisions move: leg by leg, and by operations that hold others.

A reversal posts the opposite of what its target posted: all of its legs, or as much as it says of
the first two. A capture posts a part of the hold's two legs. The same holds of a group's members:
their legs stand together among the group's. Before, sums by account were compared, which a transfer
with fees, whose parts go back without the fees, need not meet. docs/database.md.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# As in 0003, less what a decision moves.
DECISIONS_GUARD = """
CREATE OR REPLACE FUNCTION decisions_guard() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    before record;
BEGIN
    IF NEW.position > last_position(NEW.tenant_id, NEW.ledger_id, 'authorize') THEN
        RAISE EXCEPTION 'decisions: position % is not authorized', NEW.position
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF (SELECT count(*) FROM operations
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id
           AND position IN (NEW.target, NEW.position))
       < 1 + (NEW.target <> NEW.position)::integer THEN
        RAISE EXCEPTION 'decisions: there is no operation at % or at %', NEW.target, NEW.position
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF EXISTS (
        SELECT FROM rejections
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND position = NEW.target)
    THEN
        RAISE EXCEPTION 'decisions: the operation at % was rejected', NEW.target
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.number = 0 THEN
        IF NEW.position <> NEW.target OR NEW.terminal
           OR NEW.amount IS DISTINCT FROM NEW.remaining THEN
            RAISE EXCEPTION 'decisions: what % begins is its own', NEW.target
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    SELECT * INTO before FROM decisions
     WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND target = NEW.target
     ORDER BY number DESC LIMIT 1;
    IF NEW.position <= NEW.target OR before.position > NEW.position
       OR NEW.number <> coalesce(before.number, 0) + 1
       OR (before.number IS NULL AND NEW.effect <> 'reverse') THEN
        RAISE EXCEPTION 'decisions: number % of % does not follow', NEW.number, NEW.target
            USING ERRCODE = 'check_violation';
    END IF;
    IF before.terminal THEN
        RAISE EXCEPTION 'decisions: % has been decided', NEW.target
            USING ERRCODE = 'check_violation';
    END IF;
    IF before.remaining IS NOT NULL AND NEW.amount IS NOT NULL
       AND NEW.remaining IS DISTINCT FROM before.remaining - NEW.amount THEN
        RAISE EXCEPTION 'decisions: % has % left, of which % cannot leave %',
            NEW.target, before.remaining, NEW.amount, NEW.remaining
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""

# Triggers fire in the order of their names: a decision that this one sees follows the one before.
DECISIONS_MOVE = """
CREATE FUNCTION decisions_move() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    wanted record;
    deciding text;
BEGIN
    -- What must stand in the ledger, in this order: accounts, signed amounts and currencies.
    SELECT array_agg(account ORDER BY leg) AS accounts,
           array_agg(currency ORDER BY leg) AS currencies,
           array_agg(CASE WHEN NEW.amount IS NULL THEN -amount
                          WHEN (amount > 0) = (NEW.effect = 'capture') THEN NEW.amount
                          ELSE -NEW.amount END ORDER BY leg) AS amounts,
           max(amount) AS whole, count(*) AS legs
      INTO wanted
      FROM (SELECT * FROM postings
             WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id
               AND position = NEW.target AND pending = (NEW.effect = 'capture')
             ORDER BY leg LIMIT CASE WHEN NEW.amount IS NULL THEN NULL ELSE 2 END) p;
    SELECT kind INTO deciding FROM operations
     WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND position = NEW.position;
    IF wanted.legs = 0 OR (deciding IN ('reversal', 'capture') AND wanted.legs <> (
        SELECT count(*) FROM postings
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id
           AND position = NEW.position AND NOT pending))
       OR NOT EXISTS (
        SELECT FROM postings f
         WHERE f.tenant_id = NEW.tenant_id AND f.ledger_id = NEW.ledger_id
           AND f.position = NEW.position AND NOT f.pending
           AND f.account = wanted.accounts[1] AND f.amount = wanted.amounts[1]
           AND NOT EXISTS (
               SELECT FROM unnest(wanted.accounts, wanted.amounts, wanted.currencies)
                      WITH ORDINALITY AS w (account, amount, currency, place)
                 LEFT JOIN LATERAL (
                      SELECT * FROM postings
                       WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id
                         AND position = NEW.position AND leg = f.leg + w.place - 1) p ON true
                WHERE (p.account, p.amount, p.currency, p.pending)
                      IS DISTINCT FROM (w.account, w.amount, w.currency, false)))
    THEN
        IF NEW.effect = 'capture' THEN
            RAISE EXCEPTION 'decisions: % does not post what it takes of %, which is %',
                NEW.position, NEW.target, NEW.amount USING ERRCODE = 'check_violation';
        END IF;
        RAISE EXCEPTION 'decisions: % would give back of % what it did not post',
            NEW.position, NEW.target USING ERRCODE = 'check_violation';
    END IF;
    -- What has gone back and what is left are what there was; everything goes back once.
    IF NEW.effect = 'reverse' AND (
        SELECT CASE WHEN NEW.amount IS NULL THEN count(*) > 0 OR NOT NEW.terminal
               ELSE NEW.amount + coalesce(sum(amount), 0) + NEW.remaining
                    IS DISTINCT FROM wanted.whole END
          FROM decisions
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id
           AND target = NEW.target AND effect = 'reverse') THEN
        RAISE EXCEPTION 'decisions: % would give back of % more than is left, or not all of it',
            NEW.position, NEW.target USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER decisions_move BEFORE INSERT ON decisions FOR EACH ROW
    WHEN (NEW.number > 0 AND NEW.effect IN ('reverse', 'capture'))
    EXECUTE FUNCTION decisions_move();
ALTER TABLE decisions ENABLE ALWAYS TRIGGER decisions_move;
"""


def upgrade() -> None:
    op.execute(DECISIONS_GUARD)
    op.execute(DECISIONS_MOVE)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
