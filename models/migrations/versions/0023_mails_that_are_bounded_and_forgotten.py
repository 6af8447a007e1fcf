"""Mails say who had them sent, and are forgotten.

How many a tenant's admins have sent in a day is counted (pipeline/identity/mails.py), so a mail
stays for that day whoever deletes. Nothing that waits is deleted, and whatever has ended is once it
is old (pipeline/privacy/retention.py).
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

# Nobody knows it of those that were written before.
MADE_BY = """
ALTER TABLE mails ADD COLUMN made_by text;
CREATE INDEX mails_made_at ON mails (tenant_id, made_at);
"""

GUARD = """
CREATE OR REPLACE FUNCTION mails_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.ended_at IS NULL OR OLD.made_at > clock_timestamp() - interval '1 day' THEN
            RAISE EXCEPTION 'mails: % waits, or counts among those of the day', OLD.mail_id
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'mails: % has ended', OLD.mail_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.ended_at IS NULL AND NEW.ticket IS DISTINCT FROM OLD.ticket THEN
        RAISE EXCEPTION 'mails: % brings another ticket', OLD.mail_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.tenant_id, NEW.mail_id, NEW.person_id, NEW.purpose, NEW.made_at, NEW.until_at,
        NEW.made_by)
       IS DISTINCT FROM
       (OLD.tenant_id, OLD.mail_id, OLD.person_id, OLD.purpose, OLD.made_at, OLD.until_at,
        OLD.made_by) THEN
        RAISE EXCEPTION 'mails: % is another one', OLD.mail_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
GRANT DELETE ON mails TO trident_app;
"""

RUNS = """
ALTER TABLE retention_runs ADD COLUMN mails integer NOT NULL DEFAULT 0 CHECK (mails >= 0);
GRANT UPDATE (mails) ON retention_runs TO trident_app;
"""


def upgrade() -> None:
    op.execute(MADE_BY)
    op.execute(GUARD)
    op.execute(RUNS)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
