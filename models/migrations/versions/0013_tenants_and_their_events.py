"""Tenants can be deleted and have settings; each has a ledger of events.

The ledger `trident-events` is a log like any other, so what people did is sealed in the same kind
of chain as what the books did. Nobody but the owner's trigger makes ledgers of such names. A log of
a deleted tenant takes nothing more, whoever submits it. docs/tenants.md.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# `settings` are the tenant's own, `allowed` says how far they may go and is the owner's alone.
COLUMNS = """
ALTER TABLE tenants
    ADD deleted_at timestamptz,
    ADD settings json NOT NULL DEFAULT '{}',
    ADD allowed json NOT NULL DEFAULT '{}';
GRANT UPDATE (settings) ON tenants TO trident_app;
"""

# The scheduler leaves deleted tenants alone: it sees which they are.
SWEEPER = """
CREATE POLICY tenants_progress ON tenants FOR SELECT TO trident_sweeper USING (true);
GRANT SELECT (tenant_id, deleted_at) ON tenants TO trident_sweeper;
"""

RESERVED = """
DO $$
DECLARE
    taken text;
BEGIN
    SELECT string_agg(format('%s of tenant %s', name, tenant_id), ', ') INTO taken
      FROM ledgers WHERE starts_with(name, 'trident-');
    IF taken IS NOT NULL THEN
        RAISE EXCEPTION 'These ledgers have names that are reserved from now on: %. Rename them.',
            taken;
    END IF;
END $$;
CREATE POLICY ledgers_not_reserved ON ledgers AS RESTRICTIVE FOR INSERT TO trident_app
    WITH CHECK (NOT starts_with(name, 'trident-'));
"""

EVENTS = """
INSERT INTO ledgers (tenant_id, name) SELECT tenant_id, 'trident-events' FROM tenants;
CREATE FUNCTION tenants_have_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledgers (tenant_id, name) VALUES (NEW.tenant_id, 'trident-events');
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_have_events AFTER INSERT ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_have_events();
ALTER TABLE tenants ENABLE ALWAYS TRIGGER tenants_have_events;
"""

# As in 0001, and: no log of a deleted tenant. TRD01 is ours (pipeline/accept.py): neither the data
# nor the connection is at fault.
OPERATIONS_GUARD = """
CREATE OR REPLACE FUNCTION operations_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    new record;
    last_accepted timestamptz;
    tenant_deleted_at timestamptz;
BEGIN
    SELECT min(tenant_id) AS tenant_id, min(ledger_id) AS ledger_id,
           count(*) AS rows, min(position) AS first, max(position) AS last,
           bool_and(backwards IS NOT TRUE) AS in_order, min(accepted_at) AS earliest,
           min(tenant_id) = max(tenant_id) AND min(ledger_id) = max(ledger_id) AS one_ledger
      INTO new
      FROM (SELECT *, accepted_at < lag(accepted_at) OVER (ORDER BY position) AS backwards
              FROM new_rows) n;
    IF new.rows = 0 THEN RETURN NULL; END IF;
    IF NOT new.one_ledger THEN
        RAISE EXCEPTION 'operations: one statement, one ledger' USING ERRCODE = 'check_violation';
    END IF;
    SELECT t.deleted_at INTO tenant_deleted_at
      FROM ledgers l JOIN tenants t USING (tenant_id)
     WHERE l.tenant_id = new.tenant_id AND l.ledger_id = new.ledger_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'operations: ledger % does not exist', new.ledger_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF tenant_deleted_at IS NOT NULL THEN
        RAISE EXCEPTION 'operations: tenant % is deleted', new.tenant_id USING ERRCODE = 'TRD01';
    END IF;
    IF new.last - new.first + 1 <> new.rows THEN
        RAISE EXCEPTION 'operations: positions % to % have gaps', new.first, new.last
            USING ERRCODE = 'check_violation';
    END IF;
    IF new.first > 1 THEN
        SELECT accepted_at INTO last_accepted FROM operations o
         WHERE o.tenant_id = new.tenant_id AND o.ledger_id = new.ledger_id
           AND o.position = new.first - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'operations: position % has no predecessor', new.first
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    IF NOT new.in_order OR new.earliest < last_accepted THEN
        RAISE EXCEPTION 'operations: accepted_at runs backwards after position %', new.first - 1
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(SWEEPER)
    op.execute(RESERVED)
    op.execute(EVENTS)
    op.execute(OPERATIONS_GUARD)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
