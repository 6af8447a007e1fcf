"""Who decides, and what it gives back: what is reserved moves with the decisions about it.

Before, any operation might stand as that which captured, released or ended another one, a capture
might be counted twice for one pair of postings, and a hold might be decided without giving back
what it had reserved. `trident verify` found that; the database did not refuse it.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Once for all rows of a statement: what a run decides is written together, behind its postings.
DECISIONS_TAKE = """
CREATE FUNCTION decisions_take() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    bad record;
BEGIN
    SELECT n.position, n.target, n.effect, o.kind INTO bad
      FROM new_rows n
      LEFT JOIN LATERAL (
            SELECT kind FROM operations o
             WHERE o.tenant_id = n.tenant_id AND o.ledger_id = n.ledger_id
               AND o.position = n.position LIMIT 1) o ON true
     WHERE (o.kind = ANY (CASE n.effect
            WHEN 'wait' THEN ARRAY[o.kind]
            WHEN 'approve' THEN '{approve}'
            WHEN 'refuse' THEN '{refuse}'
            WHEN 'lapse' THEN '{expire}'
            WHEN 'hold' THEN '{hold,approve,occur}'
            WHEN 'capture' THEN '{capture,group,approve,occur}'
            WHEN 'release' THEN '{release,capture,group,approve,occur}'
            WHEN 'expire' THEN '{expire}'
            WHEN 'reverse' THEN '{reversal,group,approve,occur}'
            WHEN 'schedule' THEN '{schedule,approve}'
            WHEN 'occur' THEN '{occur}'
            WHEN 'pause' THEN '{pause_schedule,group,approve}'
            WHEN 'resume' THEN '{resume_schedule,group,approve}'
            WHEN 'cancel' THEN '{cancel_schedule,group,approve}'
            WHEN 'end' THEN '{occur,resume_schedule,group,approve}' END::text[])) IS NOT TRUE
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'decisions: % is a %, and cannot be what did % to %',
            bad.position, bad.kind, bad.effect, bad.target USING ERRCODE = 'check_violation';
    END IF;

    SELECT n.position, d.taken, d.twice, coalesce(p.moved, 0) AS moved INTO bad
      FROM (SELECT DISTINCT tenant_id, ledger_id, position FROM new_rows
             WHERE effect IN ('hold', 'capture', 'release', 'expire', 'reverse')) n
     CROSS JOIN LATERAL (
            SELECT kind FROM operations o
             WHERE o.tenant_id = n.tenant_id AND o.ledger_id = n.ledger_id
               AND o.position = n.position LIMIT 1) o
     CROSS JOIN LATERAL (
            SELECT coalesce(sum(d.amount) FILTER (WHERE d.effect <> 'reverse'), 0) AS taken,
                   coalesce(bool_or(d.amount IS NULL) FILTER (WHERE d.effect <> 'reverse'), false)
                       AS endless,
                   o.kind NOT IN ('group', 'approve', 'occur')
                       AND count(*) > count(DISTINCT d.effect) AS twice
              FROM decisions d
             WHERE d.tenant_id = n.tenant_id AND d.ledger_id = n.ledger_id
               AND d.position = n.position
               AND d.effect IN ('hold', 'capture', 'release', 'expire', 'reverse')) d
     CROSS JOIN LATERAL (
            SELECT sum(p.amount) AS moved FROM postings p
             WHERE p.tenant_id = n.tenant_id AND p.ledger_id = n.ledger_id
               AND p.position = n.position AND p.pending AND p.amount > 0) p
     WHERE d.endless OR d.twice OR d.taken <> coalesce(p.moved, 0)
     LIMIT 1;
    IF FOUND AND bad.twice THEN
        RAISE EXCEPTION 'decisions: % would do twice what it does once', bad.position
            USING ERRCODE = 'check_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'decisions: % reserves or gives back %, and decides on %',
            bad.position, bad.moved, bad.taken USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER decisions_take AFTER INSERT ON decisions
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION decisions_take();
ALTER TABLE decisions ENABLE ALWAYS TRIGGER decisions_take;
"""


def upgrade() -> None:
    op.execute(DECISIONS_TAKE)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
