"""The keys that sign access tokens.

They are the installation's, so they have no tenant: the application's role may read every one and
do nothing else, and private keys are wrapped under a key that is not in the database.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE signing_keys (
    kid         text PRIMARY KEY CHECK (kid ~ '^[A-Za-z0-9_-]{1,64}$'),
    public_key  bytea NOT NULL UNIQUE CHECK (octet_length(public_key) = 32),
    -- Wrapped under the key-encryption key of the id `kek`.
    private_key bytea NOT NULL,
    kek         text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    retired_at  timestamptz
);
ALTER TABLE signing_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE signing_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY signing_keys_by_owner ON signing_keys TO CURRENT_USER
    USING (true) WITH CHECK (true);
CREATE POLICY signing_keys_read ON signing_keys FOR SELECT TO trident_app USING (true);
GRANT SELECT ON signing_keys TO trident_app;
"""

GUARD = """
CREATE FUNCTION signing_keys_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.kid, NEW.public_key, NEW.created_at)
       IS DISTINCT FROM (OLD.kid, OLD.public_key, OLD.created_at) THEN
        RAISE EXCEPTION 'signing_keys: % is another key', OLD.kid
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.retired_at < coalesce(NEW.retired_at, 'infinity') THEN
        RAISE EXCEPTION 'signing_keys: % is retired and would live on', OLD.kid
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER signing_keys_guard BEFORE UPDATE ON signing_keys
    FOR EACH ROW EXECUTE FUNCTION signing_keys_guard();
ALTER TABLE signing_keys ENABLE ALWAYS TRIGGER signing_keys_guard;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(GUARD)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
