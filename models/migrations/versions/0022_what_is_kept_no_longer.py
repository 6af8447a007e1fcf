"""What has been kept for long enough is deleted, night by night.

Sessions and tickets that ended may be deleted, and nothing else may: a guard holds whoever does it
to that. `retention_runs` says how far the night has come for a tenant, so that who is killed goes
on where it was. docs/privacy.md.
"""

from alembic import op

revision = "0022"
down_revision = "0020"
branch_labels = None
depends_on = None

# Since when a person is invited, active, disabled or erased: nobody else writes it.
SINCE = """
ALTER TABLE people ADD status_since timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE FUNCTION people_since() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.status_since := CASE WHEN NEW.status = OLD.status THEN OLD.status_since
                             ELSE clock_timestamp() END;
    RETURN NEW;
END $$;
CREATE TRIGGER people_since BEFORE UPDATE ON people
    FOR EACH ROW EXECUTE FUNCTION people_since();
ALTER TABLE people ENABLE ALWAYS TRIGGER people_since;
"""

ENDED = """
CREATE FUNCTION sessions_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF least(OLD.revoked_at, OLD.expires_at) > clock_timestamp() THEN
        RAISE EXCEPTION 'sessions: % has not ended', OLD.session_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER sessions_ended BEFORE DELETE ON sessions
    FOR EACH ROW EXECUTE FUNCTION sessions_ended();
ALTER TABLE sessions ENABLE ALWAYS TRIGGER sessions_ended;
GRANT DELETE ON sessions TO trident_app;
CREATE FUNCTION tickets_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF least(OLD.used_at, OLD.expires_at) > clock_timestamp() THEN
        RAISE EXCEPTION 'tickets: one of % still counts', OLD.person_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER tickets_ended BEFORE DELETE ON tickets
    FOR EACH ROW EXECUTE FUNCTION tickets_ended();
ALTER TABLE tickets ENABLE ALWAYS TRIGGER tickets_ended;
GRANT DELETE ON tickets TO trident_app;
"""

RUNS = """
CREATE TABLE retention_runs (
    tenant_id     integer PRIMARY KEY REFERENCES tenants,
    -- The last one that was begun.
    night         date NOT NULL,
    -- The last subject that was looked at in it.
    after_subject text NOT NULL DEFAULT '',
    subjects      integer NOT NULL DEFAULT 0 CHECK (subjects >= 0),
    sessions      integer NOT NULL DEFAULT 0 CHECK (sessions >= 0),
    tickets       integer NOT NULL DEFAULT 0 CHECK (tickets >= 0),
    months        integer NOT NULL DEFAULT 0 CHECK (months >= 0),
    ended_at      timestamptz
);
ALTER TABLE retention_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE retention_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY retention_runs_of_tenant ON retention_runs
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
GRANT SELECT, INSERT ON retention_runs TO trident_app;
GRANT UPDATE (night, after_subject, subjects, sessions, tickets, months, ended_at) ON retention_runs
    TO trident_app;
-- The errand asks whose night is not over yet.
CREATE POLICY retention_runs_progress ON retention_runs FOR SELECT TO trident_sweeper USING (true);
GRANT SELECT (tenant_id, night, ended_at) ON retention_runs TO trident_sweeper;
"""


def upgrade() -> None:
    op.execute(SINCE)
    op.execute(ENDED)
    op.execute(RUNS)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
