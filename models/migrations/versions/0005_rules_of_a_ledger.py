"""Rules that operations set for the operations after them: limits, approvals, accounts by pattern.

ledger_settings and limit_usage are where `post` keeps the rules of a ledger and how much of a limit
is used up; the log is the evidence, and verify recomputes both. What waits for approvals is decided
like everything that waits; the guard adds who may not approve. docs/database.md.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
-- `position`: of the operation that changed them last.
CREATE TABLE ledger_settings (
    position  bigint NOT NULL CHECK (position > 0),
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    document  json NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id)
);

-- `since`: the position from which on a limit counts; `account` is empty where it counts for the
-- whole ledger. fillfactor leaves room on the page for the next count.
CREATE TABLE limit_usage (
    since     bigint NOT NULL CHECK (since > 0),
    used      bigint NOT NULL CHECK (used > 0),
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    name      text NOT NULL,
    account   text NOT NULL,
    period    text NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, name, since, account, period)
) WITH (fillfactor = 70);
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
    "ledger_settings": "INSERT INTO ledger_settings SELECT n, n, n, '{}'"
    " FROM generate_series(1, 3000) n",
    "limit_usage": "INSERT INTO limit_usage SELECT 1, n, n, n, 'daily', 'a:' || n, '2026-11-22'"
    " FROM generate_series(1, 3000) n",
}

# Settings follow the log, and what is used up grows. `post` alone changes them, under its lock.
KEPT_GUARDS = """
CREATE FUNCTION ledger_settings_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position > last_position(NEW.tenant_id, NEW.ledger_id, 'authorize') THEN
        RAISE EXCEPTION 'ledger_settings: position % is not authorized', NEW.position
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.position <= OLD.position
           OR (NEW.tenant_id, NEW.ledger_id) <> (OLD.tenant_id, OLD.ledger_id)) THEN
        RAISE EXCEPTION 'ledger_settings: position % does not follow %',
            NEW.position, OLD.position USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_settings_guard BEFORE INSERT OR UPDATE ON ledger_settings
    FOR EACH ROW EXECUTE FUNCTION ledger_settings_guard();
ALTER TABLE ledger_settings ENABLE ALWAYS TRIGGER ledger_settings_guard;

CREATE FUNCTION limit_usage_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'limit_usage: % of % is used, which cannot become %',
        OLD.used, OLD.name, NEW.used USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER limit_usage_grows BEFORE UPDATE ON limit_usage FOR EACH ROW
    WHEN (NEW.used < OLD.used) EXECUTE FUNCTION limit_usage_guard();
ALTER TABLE limit_usage ENABLE ALWAYS TRIGGER limit_usage_grows;
"""

# Four eyes: nobody approves their own, nor twice; the number of approvals that are missing counts
# down; nothing is posted before the last one. It stands beside decisions_guard, which proves the
# chain of decisions as a whole.
APPROVALS = """
CREATE UNIQUE INDEX decisions_approved_once ON decisions (tenant_id, ledger_id, target, actor)
    WHERE effect = 'approve';
CREATE INDEX decisions_unapproved ON decisions (tenant_id, ledger_id, target)
    WHERE terminal AND effect IN ('refuse', 'lapse');
CREATE INDEX pending_operations_approvals ON pending_operations (tenant_id, ledger_id, target)
    WHERE effect = 'wait';

CREATE FUNCTION approvals_guard() RETURNS trigger LANGUAGE plpgsql
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
           AND (position = NEW.target AND coalesce(principal->>'sub', '') = NEW.actor
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
CREATE TRIGGER approvals_guard BEFORE INSERT ON decisions FOR EACH ROW
    WHEN (NEW.effect IN ('wait', 'approve', 'refuse', 'lapse'))
    EXECUTE FUNCTION approvals_guard();
ALTER TABLE decisions ENABLE ALWAYS TRIGGER approvals_guard;
"""

POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY {table}_of_tenant ON {table}
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE (position, document) ON ledger_settings TO trident_app;
GRANT SELECT, INSERT, UPDATE (used) ON limit_usage TO trident_app;
"""

# What was not approved is shown as rejected, though the books have no rejection of it.
VIEW = """
CREATE OR REPLACE VIEW operation_statuses WITH (security_invoker = true) AS
SELECT o.tenant_id, o.ledger_id, o.position, o.id, o.kind, o.idempotency_key, o.accepted_at,
       o.body,
       coalesce(r.code, CASE u.effect WHEN 'refuse' THEN 'approval_refused'
                                      WHEN 'lapse' THEN 'approval_expired' END) AS rejection_code,
       coalesce(r.stage, CASE WHEN u.effect IS NOT NULL THEN 'post' END) AS rejection_stage,
       CASE WHEN r.position IS NOT NULL OR u.effect IS NOT NULL THEN 'rejected'
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
         ON p.tenant_id = o.tenant_id AND p.ledger_id = o.ledger_id AND p.target = o.position
  LEFT JOIN decisions u
         ON u.tenant_id = o.tenant_id AND u.ledger_id = o.ledger_id AND u.target = o.position
        AND u.terminal AND u.effect IN ('refuse', 'lapse');
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table, example in EXAMPLES.items():
        op.execute(TEACH_PLANNER.format(table=table, example=example))
    op.execute(KEPT_GUARDS)
    op.execute(APPROVALS)
    for table in EXAMPLES:
        op.execute(POLICY.format(table=table))
    op.execute(GRANTS)
    op.execute(VIEW)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
