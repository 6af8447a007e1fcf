"""Operations that wait for others: who decided what, and what is pending now.

decisions is evidence: append-only, a chain of rows along each target that ends with a terminal one.
pending_operations is where `post` keeps what waits and until when, so that it can be listed and the
scheduler can find what is due. An account may be frozen for one side alone. docs/database.md.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE decisions (
    target    bigint NOT NULL,
    position  bigint NOT NULL,
    amount    bigint CHECK (amount > 0),
    remaining bigint CHECK (remaining >= 0),
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    number    integer NOT NULL CHECK (number >= 0),
    terminal  boolean NOT NULL,
    effect    text NOT NULL,
    actor     text NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, target, number),
    CONSTRAINT decisions_end_when_used_up CHECK (terminal OR remaining IS DISTINCT FROM 0)
);
CREATE INDEX decisions_by_position ON decisions (tenant_id, ledger_id, position);
CREATE UNIQUE INDEX decisions_end_once ON decisions (tenant_id, ledger_id, target) WHERE terminal;

CREATE TABLE pending_operations (
    target    bigint NOT NULL,
    due_at    timestamptz,
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    effect    text NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, target)
);
CREATE INDEX pending_operations_due ON pending_operations (due_at) WHERE due_at IS NOT NULL;
"""

# As in 0001: statistics that are never renewed, so that no ledger looks empty to the planner.
TEACH_PLANNER = """
ALTER TABLE {table} ALTER tenant_id SET (n_distinct = 4), ALTER ledger_id SET (n_distinct = 4);
{example};
ANALYZE {table};
ALTER TABLE {table} ALTER tenant_id SET STATISTICS 0, ALTER ledger_id SET STATISTICS 0;
TRUNCATE {table};
"""
EXAMPLES = {
    "decisions": "INSERT INTO decisions SELECT n, n, 1, 1, n, n, 0, false, 'hold', 'a'"
    " FROM generate_series(1, 3000) n",
    "pending_operations": "INSERT INTO pending_operations SELECT n, now(), n, n, 'hold'"
    " FROM generate_series(1, 3000) n",
}

APPEND_ONLY = """
CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE ON decisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER decisions_no_truncate BEFORE TRUNCATE ON decisions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE decisions ENABLE ALWAYS TRIGGER decisions_append_only;
ALTER TABLE decisions ENABLE ALWAYS TRIGGER decisions_no_truncate;
"""

# Row by row, in the order in which they are written: decisions are few, and a run may hold several
# of one target. The amounts are proved against the postings, which are written before.
DECISIONS_GUARD = """
CREATE FUNCTION decisions_guard() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    before record;
    deciding text;
    moved bigint;
BEGIN
    IF NEW.position > last_position(NEW.tenant_id, NEW.ledger_id, 'authorize') THEN
        RAISE EXCEPTION 'decisions: position % is not authorized', NEW.position
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    SELECT kind INTO deciding FROM operations
     WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND position = NEW.position;
    IF NOT FOUND OR NOT EXISTS (
        SELECT FROM operations
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND position = NEW.target)
    THEN
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
    IF deciding = 'reversal' AND NEW.effect = 'reverse' THEN
        PERFORM FROM (
            SELECT account, currency, sum(amount) FILTER (WHERE position = NEW.target) AS original,
                   sum(amount) FILTER (WHERE position = NEW.position) AS back,
                   sum(amount) AS net
              FROM postings
             WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND NOT pending
               AND position IN (
                   SELECT NEW.target UNION ALL SELECT NEW.position UNION ALL
                   SELECT d.position FROM decisions d
                    WHERE d.tenant_id = NEW.tenant_id AND d.ledger_id = NEW.ledger_id
                      AND d.target = NEW.target AND d.effect = 'reverse')
             GROUP BY account, currency) sums
         WHERE original IS NULL OR sign(net) * sign(original) < 0
            OR sign(back) * sign(original) > 0 OR abs(back) <> NEW.amount;
        IF FOUND THEN
            RAISE EXCEPTION 'decisions: % would give back of % what it did not post',
                NEW.position, NEW.target
                USING ERRCODE = 'check_violation';
        END IF;
    ELSIF deciding = 'capture' AND NEW.effect = 'capture' THEN
        SELECT sum(amount) INTO moved FROM postings
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id
           AND position = NEW.position AND NOT pending AND amount > 0;
        IF moved IS DISTINCT FROM NEW.amount THEN
            RAISE EXCEPTION 'decisions: % takes % of %, and posts %',
                NEW.position, NEW.amount, NEW.target, coalesce(moved, 0)
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER decisions_guard BEFORE INSERT ON decisions
    FOR EACH ROW EXECUTE FUNCTION decisions_guard();
ALTER TABLE decisions ENABLE ALWAYS TRIGGER decisions_guard;

-- What waits has begun to, and has not been decided. What is decided waits no longer.
CREATE FUNCTION pending_operations_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM decisions
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND target = NEW.target
           AND number = 0)
       OR EXISTS (
        SELECT FROM decisions
         WHERE tenant_id = NEW.tenant_id AND ledger_id = NEW.ledger_id AND target = NEW.target
           AND terminal) THEN
        RAISE EXCEPTION 'pending_operations: % is not pending', NEW.target
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pending_operations_guard BEFORE INSERT OR UPDATE ON pending_operations
    FOR EACH ROW EXECUTE FUNCTION pending_operations_guard();
ALTER TABLE pending_operations ENABLE ALWAYS TRIGGER pending_operations_guard;
"""

ACCOUNTS = """
ALTER TABLE accounts DROP CONSTRAINT accounts_status_check;
ALTER TABLE accounts ADD CONSTRAINT accounts_status_check
    CHECK (status IN ('open', 'frozen', 'frozen_debits', 'frozen_credits', 'closed'));
"""

POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY {table}_of_tenant ON {table}
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
"""

GRANTS = """
GRANT SELECT, INSERT ON decisions TO trident_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON pending_operations TO trident_app;
CREATE POLICY pending_operations_due ON pending_operations FOR SELECT TO trident_sweeper
    USING (true);
GRANT SELECT (tenant_id, ledger_id, target, due_at) ON pending_operations TO trident_sweeper;
"""

VIEW = """
CREATE OR REPLACE VIEW operation_statuses WITH (security_invoker = true) AS
SELECT o.tenant_id, o.ledger_id, o.position, o.id, o.kind, o.idempotency_key, o.accepted_at,
       o.body, r.code AS rejection_code, r.stage AS rejection_stage,
       CASE WHEN r.position IS NOT NULL THEN 'rejected'
            WHEN p.target IS NOT NULL THEN 'pending'
            WHEN o.position <= last_position(o.tenant_id, o.ledger_id, 'post') THEN 'posted'
            WHEN o.position <= last_position(o.tenant_id, o.ledger_id, 'authorize')
                THEN 'authorized'
            WHEN o.position <= last_position(o.tenant_id, o.ledger_id, 'validate')
                THEN 'validated'
            ELSE 'accepted' END AS status
  FROM operations o
  LEFT JOIN rejections r USING (tenant_id, ledger_id, position)
  LEFT JOIN pending_operations p
         ON p.tenant_id = o.tenant_id AND p.ledger_id = o.ledger_id AND p.target = o.position;
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table, example in EXAMPLES.items():
        op.execute(TEACH_PLANNER.format(table=table, example=example))
    op.execute(APPEND_ONLY)
    op.execute(DECISIONS_GUARD)
    op.execute(ACCOUNTS)
    for table in EXAMPLES:
        op.execute(POLICY.format(table=table))
    op.execute(GRANTS)
    op.execute(VIEW)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
