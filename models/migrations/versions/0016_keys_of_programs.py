"""API keys, with which programs ask, and which pages of which hosts may call the API.

Of a key only the SHA-256 is kept. A slow hash would protect nothing: the secret has 256 random
bits, so nobody guesses it from its hash, and a request must not wait for one. docs/gateway.md.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE api_keys (
    tenant_id      integer NOT NULL REFERENCES tenants,
    -- Random, so that nobody sees from it how many keys there are.
    key_id         bigint NOT NULL CHECK (key_id > 0),
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    hash           bytea NOT NULL CHECK (length(hash) = 32),
    -- The secret before the last rotation, which counts until then.
    previous_hash  bytea CHECK (length(previous_hash) = 32),
    previous_until timestamptz,
    roles          text[] NOT NULL CHECK (cardinality(roles) BETWEEN 1 AND 32),
    -- Narrow what the roles permit; null leaves it as it is.
    scopes         text[],
    ledgers        text[],
    limits         json,
    expires_at     timestamptz,
    created_by     text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 255),
    -- Everybody who has seen a secret of it: who made it, and who rotated it.
    known_to       text[] NOT NULL CHECK (cardinality(known_to) >= 1),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at   timestamptz,
    revoked_at     timestamptz,
    PRIMARY KEY (tenant_id, key_id),
    CHECK ((previous_hash IS NULL) = (previous_until IS NULL))
);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY api_keys_of_tenant ON api_keys
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
GRANT SELECT, INSERT ON api_keys TO trident_app;
GRANT UPDATE (name, hash, previous_hash, previous_until, roles, scopes, ledgers, limits, expires_at,
              known_to, last_used_at, revoked_at) ON api_keys TO trident_app;
"""

# What is revoked stays so, and that there was a key stays on record.
GUARD = """
CREATE FUNCTION api_keys_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'api_keys: that there was a key stays on record'
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.revoked_at IS NOT NULL
       AND (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at OR NEW.hash <> OLD.hash) THEN
        RAISE EXCEPTION 'api_keys: key % is revoked', OLD.key_id USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.tenant_id, NEW.key_id, NEW.created_by, NEW.created_at)
       IS DISTINCT FROM (OLD.tenant_id, OLD.key_id, OLD.created_by, OLD.created_at) THEN
        RAISE EXCEPTION 'api_keys: key % is another one', OLD.key_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER api_keys_guard BEFORE UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_keys_guard();
ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_guard;
CREATE FUNCTION api_keys_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'api_keys: cannot be emptied' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER api_keys_keep BEFORE TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION api_keys_keep();
ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_keep;
"""

# A browser asks beforehand and without a token whether a page may call: for any tenant. Which
# tenant has which origin it does not tell.
ORIGINS = """
CREATE FUNCTION cors_origins() RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
    SELECT DISTINCT json_array_elements_text(settings->'cors_origins')
      FROM public.tenants
     WHERE deleted_at IS NULL AND json_typeof(settings->'cors_origins') = 'array'
$$;
REVOKE ALL ON FUNCTION cors_origins() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cors_origins() TO trident_app;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(GUARD)
    op.execute(ORIGINS)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
