"""What waited for approvals goes on by its own id: holds are captured, schedules are listed.

What it reserves stands where its last approval does in the log, not where it does: its decision
`hold` says where. Before, a capture was held against what the hold itself reserved; and a schedule
was known by its first decision, which may be that it waits.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# As in 0004, but for where the legs of a hold are looked for.
DECISIONS_MOVE = """
CREATE OR REPLACE FUNCTION decisions_move() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    wanted record;
    said record;
    begun_at bigint := NEW.target;
BEGIN
    IF NEW.effect = 'capture' THEN
        SELECT position INTO begun_at FROM decisions
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND target = NEW.target
           AND effect = 'hold' ORDER BY number LIMIT 1;
    END IF;
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
               AND position = begun_at AND pending = (NEW.effect = 'capture')
             ORDER BY leg LIMIT CASE WHEN NEW.amount IS NULL THEN NULL ELSE 2 END) p;
    SELECT kind, (SELECT count(*) FROM postings
                   WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id
                     AND position = NEW.position AND NOT pending) AS legs
      INTO said FROM operations
     WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND position = NEW.position;
    IF wanted.legs = 0 OR (said.kind IN ('reversal', 'capture') AND said.legs <> wanted.legs)
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
"""


SCHEDULES = """
DROP INDEX decisions_schedules;
CREATE INDEX decisions_schedules ON decisions (tenant_id, ledger_id, target)
    WHERE effect = 'schedule';
"""


def upgrade() -> None:
    op.execute(DECISIONS_MOVE)
    op.execute(SCHEDULES)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
