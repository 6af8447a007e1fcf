"""The keys under which personal data is sealed: one for each subject.

A subject is whom data is about: `person:pe_…`, or a name that the tenant gave, `subject:…`. Who
destroys its key has erased all of it, wherever copies lie. That it was erased stays, so that no
later write makes a new key as if nothing had been.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE data_keys (
    tenant_id   integer NOT NULL,
    subject     text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    key_version integer NOT NULL DEFAULT 1 CHECK (key_version > 0),
    -- Wrapped under the key-encryption key of the id `kek`; empty once it is destroyed.
    wrapped     bytea,
    kek         text,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_at   timestamptz,
    PRIMARY KEY (tenant_id, subject),
    CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL) AND (wrapped IS NULL) = (kek IS NULL))
);
ALTER TABLE data_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE data_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY data_keys_of_tenant ON data_keys
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
-- Keys are wrapped anew for all tenants (pipeline/rewrap.py).
CREATE POLICY data_keys_by_owner ON data_keys TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON data_keys TO trident_app;
GRANT UPDATE (wrapped, kek, erased_at) ON data_keys TO trident_app;
"""

# A key is wrapped anew, or destroyed; nothing else ever happens to it, and it never comes back.
GUARD = """
CREATE FUNCTION data_keys_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'data_keys: that a subject had a key stays on record'
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.erased_at IS NOT NULL THEN
        RAISE EXCEPTION 'data_keys: % is erased', OLD.subject USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.tenant_id, NEW.subject, NEW.key_version, NEW.created_at)
       IS DISTINCT FROM (OLD.tenant_id, OLD.subject, OLD.key_version, OLD.created_at) THEN
        RAISE EXCEPTION 'data_keys: % is another key', OLD.subject
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER data_keys_guard BEFORE UPDATE OR DELETE ON data_keys
    FOR EACH ROW EXECUTE FUNCTION data_keys_guard();
ALTER TABLE data_keys ENABLE ALWAYS TRIGGER data_keys_guard;
CREATE FUNCTION data_keys_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'data_keys: cannot be emptied' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER data_keys_keep BEFORE TRUNCATE ON data_keys
    FOR EACH STATEMENT EXECUTE FUNCTION data_keys_keep();
ALTER TABLE data_keys ENABLE ALWAYS TRIGGER data_keys_keep;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(GUARD)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
