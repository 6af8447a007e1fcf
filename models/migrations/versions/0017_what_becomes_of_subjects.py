"""What becomes of subjects, and which operations name them.

A subject's data may be restricted, and erased when the law lets it go. The log keeps what is
personal sealed, so whom an operation names is found by `subject_mentions`, which is written before
the operation is: an operation that names a subject has its mention whatever breaks in between.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SUBJECTS = """
CREATE TABLE subjects (
    tenant_id       integer NOT NULL,
    subject         text NOT NULL,
    restricted_at   timestamptz,
    -- Erasure was asked for, and is due then: retention forbids it until then.
    erase_due_at    timestamptz,
    erase_asked_by  text,
    -- The event that tells of the erasure, in the tenant's ledger of events.
    erased_position bigint CHECK (erased_position > 0),
    erased_by       text,
    PRIMARY KEY (tenant_id, subject),
    FOREIGN KEY (tenant_id, subject) REFERENCES data_keys (tenant_id, subject),
    CHECK ((erase_due_at IS NULL) = (erase_asked_by IS NULL)),
    CHECK ((erased_position IS NULL) = (erased_by IS NULL)),
    CHECK (erased_position IS NULL OR erase_due_at IS NULL)
);
ALTER TABLE subjects ENABLE ROW LEVEL SECURITY;
ALTER TABLE subjects FORCE ROW LEVEL SECURITY;
CREATE POLICY subjects_of_tenant ON subjects
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
GRANT SELECT, INSERT ON subjects TO trident_app;
GRANT UPDATE (restricted_at, erase_due_at, erase_asked_by, erased_position, erased_by)
    ON subjects TO trident_app;
-- The nightly errand asks which tenants have something due.
CREATE POLICY subjects_due ON subjects FOR SELECT TO trident_sweeper USING (true);
GRANT SELECT (tenant_id, erase_due_at) ON subjects TO trident_sweeper;
CREATE INDEX subjects_due_at ON subjects (erase_due_at) WHERE erase_due_at IS NOT NULL;
"""

GUARD = """
CREATE FUNCTION subjects_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'subjects: what became of a subject stays on record'
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.erased_position IS NOT NULL THEN
        RAISE EXCEPTION 'subjects: % is erased', OLD.subject USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.tenant_id, NEW.subject) IS DISTINCT FROM (OLD.tenant_id, OLD.subject) THEN
        RAISE EXCEPTION 'subjects: % is another subject', OLD.subject
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER subjects_guard BEFORE UPDATE OR DELETE ON subjects
    FOR EACH ROW EXECUTE FUNCTION subjects_guard();
ALTER TABLE subjects ENABLE ALWAYS TRIGGER subjects_guard;
CREATE FUNCTION subjects_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: cannot be changed so', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER subjects_keep BEFORE TRUNCATE ON subjects
    FOR EACH STATEMENT EXECUTE FUNCTION subjects_keep();
ALTER TABLE subjects ENABLE ALWAYS TRIGGER subjects_keep;
"""

MENTIONS = """
CREATE TABLE subject_mentions (
    tenant_id    integer NOT NULL,
    subject      text NOT NULL,
    ledger_id    integer NOT NULL,
    -- Of the operation's idempotency key, as in idempotency_keys; it may never have been stored.
    key_hash     uuid NOT NULL,
    -- The code of the account that it opens or changes; empty where it is about none.
    account      text NOT NULL DEFAULT '',
    mentioned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, subject, ledger_id, key_hash, account)
);
CREATE INDEX subject_mentions_of_accounts ON subject_mentions (tenant_id, ledger_id, account)
    WHERE account <> '';
ALTER TABLE subject_mentions ENABLE ROW LEVEL SECURITY;
ALTER TABLE subject_mentions FORCE ROW LEVEL SECURITY;
CREATE POLICY subject_mentions_of_tenant ON subject_mentions
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
GRANT SELECT, INSERT ON subject_mentions TO trident_app;
CREATE TRIGGER subject_mentions_keep BEFORE UPDATE OR DELETE ON subject_mentions
    FOR EACH ROW EXECUTE FUNCTION subjects_keep();
ALTER TABLE subject_mentions ENABLE ALWAYS TRIGGER subject_mentions_keep;
CREATE TRIGGER subject_mentions_keep_all BEFORE TRUNCATE ON subject_mentions
    FOR EACH STATEMENT EXECUTE FUNCTION subjects_keep();
ALTER TABLE subject_mentions ENABLE ALWAYS TRIGGER subject_mentions_keep_all;
"""


def upgrade() -> None:
    op.execute(SUBJECTS)
    op.execute(GUARD)
    op.execute(MENTIONS)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
