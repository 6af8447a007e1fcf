"""Access tokens that were ended before their time, one by one.

A session is ended, an API key revoked; a token of the command line has neither a session nor a row,
so what was ended of these stands here, for good: the rows are few, made by hand. docs/keys.md.
"""

from alembic import op

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE revoked_tokens (
    tenant_id  integer NOT NULL REFERENCES tenants,
    -- The claim `jti` of the token.
    token_id   text NOT NULL CHECK (length(token_id) BETWEEN 1 AND 255),
    revoked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, token_id)
);
ALTER TABLE revoked_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE revoked_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY revoked_tokens_of_tenant ON revoked_tokens
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
GRANT SELECT, INSERT ON revoked_tokens TO trident_app;
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
