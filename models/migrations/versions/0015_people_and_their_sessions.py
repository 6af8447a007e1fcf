"""People, who sign in with a password, and the sessions that this gives them.

What is personal (e-mail address, name, address and program of a session) is sealed under the
person's data key (0014), so whoever destroys that key has erased it. A person is found by the keyed
hash of the e-mail address. docs/people.md.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

PEOPLE = """
CREATE TABLE people (
    tenant_id      integer NOT NULL REFERENCES tenants,
    person_id      text NOT NULL CHECK (person_id ~ '^pe_[0-9a-f]{20}$'),
    email          bytea NOT NULL,
    -- Empty once the person is erased: the address may then belong to somebody new.
    email_hash     bytea CHECK (octet_length(email_hash) = 32),
    name           bytea,
    roles          text[] NOT NULL,
    status         text NOT NULL DEFAULT 'invited'
                   CHECK (status IN ('invited', 'active', 'disabled', 'erased')),
    password_hash  text CHECK (starts_with(password_hash, '$argon2id$')),
    -- What the device of the second factor knows; `totp_new` until its first code has come.
    totp_secret    bytea,
    totp_new       bytea,
    totp_last_step bigint NOT NULL DEFAULT 0,
    recovery_codes bytea[] NOT NULL DEFAULT '{}',
    failures       integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    locked_until   timestamptz,
    -- Grows whenever access tokens that were given out before must not count any more.
    version        integer NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, person_id),
    UNIQUE (tenant_id, email_hash),
    CHECK (status <> 'active' OR password_hash IS NOT NULL)
);
GRANT SELECT, INSERT ON people TO trident_app;
GRANT UPDATE (email, email_hash, name, roles, status, password_hash, totp_secret, totp_new,
    totp_last_step, recovery_codes, failures, locked_until, version) ON people TO trident_app;
"""

# What lets its holder choose a password, once: only its hash is kept.
TICKETS = """
CREATE TABLE tickets (
    tenant_id  integer NOT NULL,
    token_hash bytea NOT NULL CHECK (octet_length(token_hash) = 32),
    person_id  text NOT NULL,
    purpose    text NOT NULL CHECK (purpose IN ('invitation', 'reset')),
    made_by    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, person_id) REFERENCES people
);
CREATE INDEX tickets_of_person ON tickets (tenant_id, person_id);
GRANT SELECT, INSERT ON tickets TO trident_app;
GRANT UPDATE (used_at) ON tickets TO trident_app;
"""

SESSIONS = """
CREATE TABLE sessions (
    tenant_id  integer NOT NULL,
    session_id text NOT NULL CHECK (session_id ~ '^se_[0-9a-f]{20}$'),
    person_id  text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    -- Of the one refresh token that counts.
    generation integer NOT NULL DEFAULT 1,
    address    bytea,
    agent      bytea,
    revoked_at timestamptz,
    why        text,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES people,
    CHECK ((revoked_at IS NULL) = (why IS NULL))
);
CREATE INDEX sessions_of_person ON sessions (tenant_id, person_id, created_at);
GRANT SELECT, INSERT ON sessions TO trident_app;
GRANT UPDATE (used_at, expires_at, generation, address, agent, revoked_at, why) ON sessions
    TO trident_app;
"""

SESSIONS_GUARD = """
CREATE FUNCTION sessions_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.revoked_at IS NOT NULL
       AND (NEW.revoked_at, NEW.generation) IS DISTINCT FROM (OLD.revoked_at, OLD.generation) THEN
        RAISE EXCEPTION 'sessions: % is revoked', OLD.session_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.generation NOT IN (OLD.generation, OLD.generation + 1) THEN
        RAISE EXCEPTION 'sessions: generation % of % does not follow %',
            NEW.generation, OLD.session_id, OLD.generation USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sessions_guard BEFORE UPDATE ON sessions
    FOR EACH ROW EXECUTE FUNCTION sessions_guard();
ALTER TABLE sessions ENABLE ALWAYS TRIGGER sessions_guard;
"""

# Who tries passwords does so at several tenants, so this belongs to the installation: tenant 0.
ADDRESSES = """
CREATE TABLE sign_in_addresses (
    tenant_id    integer NOT NULL DEFAULT 0 CHECK (tenant_id = 0),
    address_hash bytea NOT NULL CHECK (octet_length(address_hash) = 32),
    failures     integer NOT NULL CHECK (failures >= 0),
    tried_at     timestamptz NOT NULL,
    locked_until timestamptz,
    PRIMARY KEY (tenant_id, address_hash)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_addresses TO trident_app;
"""

POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY {table}_of_tenant ON {table}
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
"""

# A log-in names its tenant. The application's role, which sees one tenant at a time, learns the
# number of a name that it already has, and nothing else.
TENANT_NAMED = """
CREATE FUNCTION tenant_named(wanted text) RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT tenant_id FROM tenants WHERE name = wanted AND deleted_at IS NULL
$$;
REVOKE ALL ON FUNCTION tenant_named(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenant_named(text) TO trident_app;
"""


def upgrade() -> None:
    for statement in (PEOPLE, TICKETS, SESSIONS, SESSIONS_GUARD, ADDRESSES):
        op.execute(statement)
    for table in ("people", "tickets", "sessions", "sign_in_addresses"):
        op.execute(POLICY.format(table=table))
    op.execute(TENANT_NAMED)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
