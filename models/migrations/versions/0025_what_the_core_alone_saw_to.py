"""What loosens a rule was approved, and what was used up stays so: the database asks for it too.

A rule of approvals is over its own changes, and one of the kind set_limit over the limits of its
currency. Before, the core alone saw to that, and `trident verify` found it afterwards. A run may
change the rules several times and keeps what they are in the end, so what is asked for is a last
approval, since the rules from before, of a change of that rule.

A ticket that was used might be taken back, and so might an erasure of a person, the number that
ends access tokens from before, and the step whose code let somebody in. docs/database.md.
"""

from alembic import op

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None

RULES = """
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

PEOPLE = """
CREATE FUNCTION people_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'erased' AND NEW.status <> 'erased' THEN
        RAISE EXCEPTION 'people: % is erased', OLD.person_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.version < OLD.version THEN
        RAISE EXCEPTION 'people: version % of % does not follow %',
            NEW.version, OLD.person_id, OLD.version USING ERRCODE = 'check_violation';
    END IF;
    -- The clock of another device may be behind that of the one before.
    IF NEW.totp_secret = OLD.totp_secret AND NEW.totp_last_step < OLD.totp_last_step THEN
        RAISE EXCEPTION 'people: a code of % would count twice', OLD.person_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER people_guard BEFORE UPDATE ON people
    FOR EACH ROW EXECUTE FUNCTION people_guard();
ALTER TABLE people ENABLE ALWAYS TRIGGER people_guard;
"""
TICKETS = """
CREATE FUNCTION tickets_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'tickets: one of % was used', OLD.person_id USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER tickets_guard BEFORE UPDATE ON tickets FOR EACH ROW
    WHEN (OLD.used_at IS NOT NULL AND NEW.used_at IS DISTINCT FROM OLD.used_at)
    EXECUTE FUNCTION tickets_guard();
ALTER TABLE tickets ENABLE ALWAYS TRIGGER tickets_guard;
"""


def upgrade() -> None:
    op.execute(RULES)
    op.execute(PEOPLE)
    op.execute(TICKETS)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
