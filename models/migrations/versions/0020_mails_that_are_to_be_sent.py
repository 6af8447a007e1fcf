"""Mails: tickets on their way to whom they are for.

A mail is written with the ticket that it brings, and sent later. Until then the ticket is kept,
sealed under the key of the person whom it is for (0014); when the mail has ended, nothing of it is.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE mails (
    tenant_id integer NOT NULL,
    mail_id   text NOT NULL CHECK (mail_id ~ '^ma_[0-9a-f]{20}$'),
    person_id text NOT NULL,
    purpose   text NOT NULL CHECK (purpose IN ('invitation', 'reset')),
    -- Sealed; destroyed when the mail has ended.
    ticket    bytea,
    made_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When it is given up: with a ticket that is too old nobody can do anything.
    until_at  timestamptz NOT NULL,
    attempts  integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_at   timestamptz DEFAULT clock_timestamp(),
    outcome   text CHECK (outcome IN ('sent', 'given_up', 'withdrawn')),
    ended_at  timestamptz,
    PRIMARY KEY (tenant_id, mail_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES people,
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CHECK ((ended_at IS NULL) = (next_at IS NOT NULL)),
    CHECK ((ended_at IS NULL) = (ticket IS NOT NULL))
);
CREATE INDEX mails_of_person ON mails (tenant_id, person_id) WHERE ended_at IS NULL;
ALTER TABLE mails ENABLE ROW LEVEL SECURITY;
ALTER TABLE mails FORCE ROW LEVEL SECURITY;
CREATE POLICY mails_of_tenant ON mails
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
GRANT SELECT, INSERT ON mails TO trident_app;
GRANT UPDATE (ticket, attempts, next_at, outcome, ended_at) ON mails TO trident_app;
-- The errand asks which tenants have something to be sent.
CREATE POLICY mails_due ON mails FOR SELECT TO trident_sweeper USING (true);
GRANT SELECT (tenant_id, next_at) ON mails TO trident_sweeper;
CREATE INDEX mails_next_at ON mails (tenant_id, next_at) WHERE next_at IS NOT NULL;
"""

GUARD = """
CREATE FUNCTION mails_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'mails: that there was a mail stays on record'
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'mails: % has ended', OLD.mail_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.ended_at IS NULL AND NEW.ticket IS DISTINCT FROM OLD.ticket THEN
        RAISE EXCEPTION 'mails: % brings another ticket', OLD.mail_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.tenant_id, NEW.mail_id, NEW.person_id, NEW.purpose, NEW.made_at, NEW.until_at)
       IS DISTINCT FROM
       (OLD.tenant_id, OLD.mail_id, OLD.person_id, OLD.purpose, OLD.made_at, OLD.until_at) THEN
        RAISE EXCEPTION 'mails: % is another one', OLD.mail_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER mails_guard BEFORE UPDATE OR DELETE ON mails
    FOR EACH ROW EXECUTE FUNCTION mails_guard();
ALTER TABLE mails ENABLE ALWAYS TRIGGER mails_guard;
CREATE FUNCTION mails_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'mails: cannot be emptied' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER mails_keep BEFORE TRUNCATE ON mails
    FOR EACH STATEMENT EXECUTE FUNCTION mails_keep();
ALTER TABLE mails ENABLE ALWAYS TRIGGER mails_keep;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(GUARD)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
