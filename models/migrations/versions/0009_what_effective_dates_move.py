"""What effective dates move: by account and day, the amounts that are dated elsewhere.

A balance by effective date is the balance by time of acceptance and what these rows add to it. An
operation that is dated to the day on which it was accepted leaves nothing here. docs/database.md.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# arriving: what is dated to this day and was accepted on another one. leaving: what was accepted on
# this day and is dated to another one. Credit +, debit -. Two columns, because each by itself is
# within the account's totals and the difference may not be. fillfactor: as for accounts.
TABLE = """
CREATE TABLE date_shifts (
    arriving  bigint NOT NULL DEFAULT 0,
    leaving   bigint NOT NULL DEFAULT 0,
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    account   integer NOT NULL,
    date      date NOT NULL,
    currency  char(3) NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, account, date)
) WITH (fillfactor = 70);
"""

# As the first migration does it for the other tables, and for the same reason.
TEACH_PLANNER = """
ALTER TABLE date_shifts
    ALTER tenant_id SET (n_distinct = 4), ALTER ledger_id SET (n_distinct = 4);
INSERT INTO date_shifts SELECT n, n, n, n, n % 300, date '2026-01-01' + n / 300, 'EUR'
  FROM generate_series(1, 3000) n;
ANALYZE date_shifts;
ALTER TABLE date_shifts
    ALTER tenant_id SET STATISTICS 0, ALTER ledger_id SET STATISTICS 0;
TRUNCATE date_shifts;
"""

# A row begins empty and all that a run moves is one UPDATE: so one trigger sees the whole of it.
GUARDS = """
CREATE FUNCTION date_shifts_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'date_shifts: %', TG_ARGV[0] USING ERRCODE = TG_ARGV[1];
END $$;
CREATE TRIGGER date_shifts_begin_empty BEFORE INSERT ON date_shifts FOR EACH ROW
    WHEN (NEW.arriving <> 0 OR NEW.leaving <> 0)
    EXECUTE FUNCTION date_shifts_refuse('a row begins with zeros', '23514');
CREATE TRIGGER date_shifts_stay BEFORE DELETE ON date_shifts FOR EACH ROW
    EXECUTE FUNCTION date_shifts_refuse('a row is never deleted', '42501');
CREATE TRIGGER date_shifts_keep_keys BEFORE UPDATE ON date_shifts FOR EACH ROW
    WHEN ((NEW.tenant_id, NEW.ledger_id, NEW.account, NEW.date, NEW.currency)
          IS DISTINCT FROM (OLD.tenant_id, OLD.ledger_id, OLD.account, OLD.date, OLD.currency))
    EXECUTE FUNCTION date_shifts_refuse('a row keeps its account, date and currency', '23514');
CREATE TRIGGER date_shifts_no_truncate BEFORE TRUNCATE ON date_shifts FOR EACH STATEMENT
    EXECUTE FUNCTION date_shifts_refuse('the table is never truncated', '42501');

CREATE FUNCTION date_shifts_of_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    bad record;
BEGIN
    SELECT n.account INTO bad
      FROM new_rows n
      LEFT JOIN LATERAL (
            SELECT a.currency FROM accounts a
             WHERE a.tenant_id = n.tenant_id AND a.ledger_id = n.ledger_id
               AND a.number = n.account LIMIT 1) a ON true
     WHERE a.currency IS DISTINCT FROM n.currency LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'date_shifts: the ledger has no account % in that currency', bad.account
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER date_shifts_of_accounts AFTER INSERT ON date_shifts
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION date_shifts_of_accounts();

CREATE FUNCTION date_shifts_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    bad record;
BEGIN
    -- What leaves one day of an account arrives on its other days.
    SELECT account INTO bad
      FROM (SELECT tenant_id, ledger_id, account, arriving - leaving::numeric AS net FROM new_rows
             UNION ALL
            SELECT tenant_id, ledger_id, account, leaving - arriving::numeric FROM old_rows) moved
     GROUP BY tenant_id, ledger_id, account HAVING sum(net) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'date_shifts: what leaves and what arrives differ for account %',
            bad.account USING ERRCODE = 'check_violation';
    END IF;
    -- Whole operations move, and those sum to zero.
    SELECT date, currency INTO bad
      FROM (SELECT tenant_id, ledger_id, date, currency, arriving::numeric, leaving::numeric
              FROM new_rows
             UNION ALL
            SELECT tenant_id, ledger_id, date, currency, -arriving::numeric, -leaving::numeric
              FROM old_rows) moved
     GROUP BY tenant_id, ledger_id, date, currency
    HAVING sum(arriving) <> 0 OR sum(leaving) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'date_shifts: what moves on % does not sum to zero in %',
            bad.date, bad.currency USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER date_shifts_balance AFTER UPDATE ON date_shifts
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION date_shifts_balance();
"""
TRIGGERS = (
    "date_shifts_begin_empty",
    "date_shifts_stay",
    "date_shifts_keep_keys",
    "date_shifts_no_truncate",
    "date_shifts_of_accounts",
    "date_shifts_balance",
)

ACCESS = """
ALTER TABLE date_shifts ENABLE ROW LEVEL SECURITY;
ALTER TABLE date_shifts FORCE ROW LEVEL SECURITY;
CREATE POLICY date_shifts_of_tenant ON date_shifts
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
GRANT SELECT, INSERT, UPDATE (arriving, leaving) ON date_shifts TO trident_app;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(TEACH_PLANNER)
    op.execute(GUARDS)
    for trigger in TRIGGERS:
        op.execute(f"ALTER TABLE date_shifts ENABLE ALWAYS TRIGGER {trigger}")
    op.execute(ACCESS)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
