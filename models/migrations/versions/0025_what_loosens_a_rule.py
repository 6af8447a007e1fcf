"""What loosens a rule was approved: the database asks for it as well.

A rule of approvals is over its own changes, and one of the kind set_limit over the limits of its
currency. Before, the core alone saw to that, and `trident verify` found it afterwards. A run may
change the rules several times and keeps what they are in the end, so what is asked for is a last
approval, since the rules from before, of a change of that rule. docs/database.md.
"""

from alembic import op

revision = "0025"
down_revision = "0022"
branch_labels = None
depends_on = None

GUARD = """
CREATE FUNCTION ledger_settings_hold() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    bad text;
BEGIN
    WITH rules AS (
        SELECT r->>'name' AS name, r->>'currency' AS currency, (r->>'above')::bigint AS above,
               (r->>'people')::int AS people, r->>'by_role' AS by_role,
               r->>'operation_kind' AS kind, r->>'role' AS role
          FROM json_array_elements(OLD.document->'approvals') r
    ), loosened AS (
        SELECT o.name AS rule, NULL AS "limit"
          FROM rules o
          LEFT JOIN json_array_elements(NEW.document->'approvals') n ON n->>'name' = o.name
         WHERE (n->>'currency' = o.currency AND (n->>'above')::bigint <= o.above
                AND (n->>'people')::int >= o.people AND n->>'by_role' = o.by_role
                AND coalesce(n->>'operation_kind' = o.kind,
                             n->>'operation_kind' IS NULL AND o.kind IS DISTINCT FROM 'set_limit')
                AND coalesce(n->>'role' = o.role, n->>'role' IS NULL)) IS NOT TRUE
        UNION ALL
        -- One that is for some roles alone does not say who changed the limit.
        SELECT q.name, l->>'name'
          FROM rules q
          JOIN json_array_elements(OLD.document->'limits') l
            ON q.kind = 'set_limit' AND q.role IS NULL AND q.currency = l->>'currency'
          LEFT JOIN json_array_elements(NEW.document->'limits') n ON n->>'name' = l->>'name'
         WHERE (n::jsonb - 'amount' = l::jsonb - 'amount'
                AND (n->>'amount')::bigint <= greatest((l->>'amount')::bigint, q.above))
               IS NOT TRUE
    )
    SELECT coalesce("limit", rule) INTO bad FROM loosened
     WHERE NOT EXISTS (
        SELECT FROM decisions d
          JOIN operations o ON o.tenant_id = d.tenant_id AND o.ledger_id = d.ledger_id
                           AND o.position = d.target
         WHERE d.tenant_id = NEW.tenant_id AND d.ledger_id = NEW.ledger_id
           AND d.position > OLD.position AND d.position <= NEW.position
           AND d.effect = 'approve' AND d.terminal
           AND (o.kind IN ('set_approval', 'remove_approval') AND o.body->>'name' = rule
                OR o.kind IN ('set_limit', 'remove_limit') AND o.body->>'name' = "limit"))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger_settings: nobody else approved that % is loosened', bad
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_settings_hold BEFORE UPDATE ON ledger_settings
    FOR EACH ROW EXECUTE FUNCTION ledger_settings_hold();
ALTER TABLE ledger_settings ENABLE ALWAYS TRIGGER ledger_settings_hold;
"""


def upgrade() -> None:
    op.execute(GUARD)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
