"""The log, the runs, the ledger and their guards.

Everything that protects the money is here from the first day: roles without ownership, forced
row-level security, append-only tables, and triggers that prove each set of rows when it is
written. docs/database.md explains each guard.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROLES = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'trident_app') THEN
        CREATE ROLE trident_app NOLOGIN NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'trident_sweeper') THEN
        CREATE ROLE trident_sweeper NOLOGIN NOBYPASSRLS;
    END IF;
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO trident_app, trident_sweeper;
"""

TABLES = """
CREATE TABLE tenants (
    tenant_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- ledger_id is unique over all tenants (one identity sequence): advisory locks are keyed by it.
CREATE TABLE ledgers (
    tenant_id  integer NOT NULL REFERENCES tenants,
    ledger_id  integer GENERATED ALWAYS AS IDENTITY,
    name       text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, ledger_id),
    UNIQUE (tenant_id, name)
);

-- The log. `body` is of type json: Postgres keeps its bytes as they came, and they are canonical.
CREATE TABLE operations (
    position        bigint NOT NULL CHECK (position BETWEEN 1 AND 1099511627775),
    accepted_at     timestamptz NOT NULL,
    tenant_id       integer NOT NULL,
    ledger_id       integer NOT NULL,
    id              uuid NOT NULL,
    kind            text NOT NULL,
    idempotency_key text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    body            json NOT NULL,
    principal       json NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, position)
);

-- The first 16 bytes of SHA-256 of the key, held as a uuid: fixed width, half the size of text.
CREATE TABLE idempotency_keys (
    position  bigint NOT NULL,
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    key_hash  uuid NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, key_hash)
);

-- `overdraft` NULL is unlimited. fillfactor leaves room on the page, so that an update of the
-- totals stays on it and touches no index.
CREATE TABLE accounts (
    tenant_id       integer NOT NULL,
    ledger_id       integer NOT NULL,
    number          integer NOT NULL CHECK (number > 0),
    currency        char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    version         bigint NOT NULL DEFAULT 0,
    pending_version bigint NOT NULL DEFAULT 0,
    overdraft       bigint DEFAULT 0 CHECK (overdraft >= 0),
    debits_posted   bigint NOT NULL DEFAULT 0
        CHECK (debits_posted BETWEEN 0 AND 9000000000000000000),
    credits_posted  bigint NOT NULL DEFAULT 0
        CHECK (credits_posted BETWEEN 0 AND 9000000000000000000),
    debits_pending  bigint NOT NULL DEFAULT 0
        CHECK (debits_pending BETWEEN 0 AND 9000000000000000000),
    credits_pending bigint NOT NULL DEFAULT 0
        CHECK (credits_pending BETWEEN 0 AND 9000000000000000000),
    code            text NOT NULL,
    type            text NOT NULL
        CHECK (type IN ('asset', 'liability', 'equity', 'income', 'expense')),
    status          text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'frozen', 'closed')),
    name            text,
    metadata        json,
    PRIMARY KEY (tenant_id, ledger_id, number),
    UNIQUE (tenant_id, ledger_id, code),
    CONSTRAINT accounts_within_limit CHECK (
        overdraft IS NULL
        OR CASE WHEN type IN ('asset', 'expense')
                THEN debits_posted - credits_posted - credits_pending
                ELSE credits_posted - debits_posted - debits_pending
           END >= -overdraft),
    CONSTRAINT accounts_closed_at_zero CHECK (
        status <> 'closed'
        OR (debits_posted = credits_posted AND debits_pending = 0 AND credits_pending = 0))
) WITH (fillfactor = 70);

CREATE TABLE rejections (
    position  bigint NOT NULL,
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    stage     text NOT NULL CHECK (stage IN ('validate', 'authorize', 'post')),
    code      text NOT NULL,
    detail    json NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, position)
);

-- amount: credit +, debit -. balance_after: of this account and layer, credits - debits. An account
-- has two layers, each with versions of its own: what is posted, and (pending) what is reserved.
CREATE TABLE postings (
    position      bigint NOT NULL,
    version       bigint NOT NULL,
    amount        bigint NOT NULL CHECK (amount <> 0),
    balance_after bigint NOT NULL,
    tenant_id     integer NOT NULL,
    ledger_id     integer NOT NULL,
    account       integer NOT NULL,
    leg           smallint NOT NULL,
    currency      char(3) NOT NULL,
    pending       boolean NOT NULL,
    UNIQUE (tenant_id, ledger_id, position, leg),
    UNIQUE (tenant_id, ledger_id, account, pending, version)
);

CREATE TABLE runs (
    from_position bigint NOT NULL,
    to_position   bigint NOT NULL CHECK (to_position >= from_position),
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id     integer NOT NULL,
    ledger_id     integer NOT NULL,
    stage         text NOT NULL
        CHECK (stage IN ('validate', 'authorize', 'post', 'audit', 'notify')),
    PRIMARY KEY (tenant_id, ledger_id, stage, from_position)
);

CREATE TABLE audit_blocks (
    from_position bigint NOT NULL,
    to_position   bigint NOT NULL,
    tenant_id     integer NOT NULL,
    ledger_id     integer NOT NULL,
    height        integer NOT NULL,
    leaf_count    integer NOT NULL CHECK (leaf_count = to_position - from_position + 1),
    previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
    root          bytea NOT NULL CHECK (octet_length(root) = 32),
    hash          bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, ledger_id, height)
);

-- Runs under suspicion of being poisoned, written before they are tried (pipeline/poison.py).
CREATE TABLE attempts (
    attempt_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     integer NOT NULL,
    ledger_id     integer NOT NULL,
    stage         text NOT NULL,
    from_position bigint NOT NULL,
    to_position   bigint NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX attempts_of_a_stage ON attempts (tenant_id, ledger_id, stage, from_position);
"""

# A ledger that statistics have not seen looks empty to the planner: tenant and ledger alone find
# "one row", any index that begins with them will do, and a run goes quadratic (measured: 7.1 s
# instead of 1.1 s for posting 20,000 transfers). So tenant_id and ledger_id get statistics that say
# "a quarter of the table each" and are never renewed: too many rows to be found by these two alone,
# few enough to prefer an index to the whole table. The rows of the example teach the other columns
# until the first real ANALYZE, and are gone at the end.
TEACH_PLANNER = """
ALTER TABLE {table} ALTER tenant_id SET (n_distinct = 4), ALTER ledger_id SET (n_distinct = 4);
{example};
ANALYZE {table};
ALTER TABLE {table} ALTER tenant_id SET STATISTICS 0, ALTER ledger_id SET STATISTICS 0;
TRUNCATE {table};
"""
EXAMPLES = {
    "operations": "INSERT INTO operations SELECT n, now(), n, n, gen_random_uuid(), 'transfer',"
    " 'k' || n, '{}', '{}' FROM generate_series(1, 3000) n",
    "idempotency_keys": "INSERT INTO idempotency_keys SELECT n, n, n, gen_random_uuid()"
    " FROM generate_series(1, 3000) n",
    "accounts": "INSERT INTO accounts (tenant_id, ledger_id, number, currency, code, type)"
    " SELECT n, n, n, 'EUR', 'a:' || n, 'asset' FROM generate_series(1, 3000) n",
    "rejections": "INSERT INTO rejections SELECT n, n, n, 'post', 'none', '{}'"
    " FROM generate_series(1, 3000) n",
    "postings": "INSERT INTO postings SELECT n, n / 10, 1, 1, n, n, n % 300, leg, 'EUR', false"
    " FROM generate_series(1, 3000) n, generate_series(0, 1) leg ON CONFLICT DO NOTHING",
    "runs": "INSERT INTO runs SELECT n, n, now(), n, n, stage FROM generate_series(1, 600) n,"
    " unnest('{validate,authorize,post,audit,notify}'::text[]) stage",
}

APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
"""

APPEND_ONLY_TABLE = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate;
"""
APPEND_ONLY_TABLES = (
    "operations",
    "idempotency_keys",
    "rejections",
    "postings",
    "runs",
    "audit_blocks",
)

# One statement writes one ledger's rows: so a guard reads one index range, whatever it is given.
OPERATIONS_GUARD = """
CREATE FUNCTION operations_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    new record;
    last_accepted timestamptz;
BEGIN
    SELECT min(tenant_id) AS tenant_id, min(ledger_id) AS ledger_id,
           count(*) AS rows, min(position) AS first, max(position) AS last,
           bool_and(backwards IS NOT TRUE) AS in_order, min(accepted_at) AS earliest,
           min(tenant_id) = max(tenant_id) AND min(ledger_id) = max(ledger_id) AS one_ledger
      INTO new
      FROM (SELECT *, accepted_at < lag(accepted_at) OVER (ORDER BY position) AS backwards
              FROM new_rows) n;
    IF new.rows = 0 THEN RETURN NULL; END IF;
    IF NOT new.one_ledger THEN
        RAISE EXCEPTION 'operations: one statement, one ledger' USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM ledgers l
                    WHERE l.tenant_id = new.tenant_id AND l.ledger_id = new.ledger_id) THEN
        RAISE EXCEPTION 'operations: ledger % does not exist', new.ledger_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF new.last - new.first + 1 <> new.rows THEN
        RAISE EXCEPTION 'operations: positions % to % have gaps', new.first, new.last
            USING ERRCODE = 'check_violation';
    END IF;
    IF new.first > 1 THEN
        SELECT accepted_at INTO last_accepted FROM operations o
         WHERE o.tenant_id = new.tenant_id AND o.ledger_id = new.ledger_id
           AND o.position = new.first - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'operations: position % has no predecessor', new.first
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    IF NOT new.in_order OR new.earliest < last_accepted THEN
        RAISE EXCEPTION 'operations: accepted_at runs backwards after position %', new.first - 1
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER operations_guard AFTER INSERT ON operations
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION operations_guard();
ALTER TABLE operations ENABLE ALWAYS TRIGGER operations_guard;

CREATE FUNCTION idempotency_keys_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    orphan bigint;
BEGIN
    SELECT n.position INTO orphan
      FROM new_rows n
      LEFT JOIN LATERAL (
            SELECT o.idempotency_key FROM operations o
             WHERE o.tenant_id = n.tenant_id AND o.ledger_id = n.ledger_id
               AND o.position = n.position LIMIT 1) o ON true
     WHERE o.idempotency_key IS NULL
        OR uuid_send(n.key_hash) <> substr(sha256(convert_to(o.idempotency_key, 'UTF8')), 1, 16)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'idempotency_keys: no operation with this key at position %', orphan
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER idempotency_keys_guard AFTER INSERT ON idempotency_keys
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION idempotency_keys_guard();
ALTER TABLE idempotency_keys ENABLE ALWAYS TRIGGER idempotency_keys_guard;
"""

RUNS_GUARD = """
CREATE FUNCTION last_position(of_tenant integer, of_ledger integer, of_stage text)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF of_stage = 'accept' THEN
        RETURN coalesce((SELECT position FROM operations
                          WHERE tenant_id = of_tenant AND ledger_id = of_ledger
                          ORDER BY position DESC LIMIT 1), 0);
    END IF;
    RETURN coalesce((SELECT to_position FROM runs
                      WHERE tenant_id = of_tenant AND ledger_id = of_ledger AND stage = of_stage
                      ORDER BY from_position DESC LIMIT 1), 0);
END $$;

CREATE FUNCTION runs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stages constant text[] := '{accept,validate,authorize,post,audit,notify}';
    before text := stages[array_position(stages, NEW.stage) - 1];
    done bigint := last_position(NEW.tenant_id, NEW.ledger_id, NEW.stage);
BEGIN
    IF NEW.from_position <> done + 1 THEN
        RAISE EXCEPTION 'runs: % begins at %, but its last run ended at %',
            NEW.stage, NEW.from_position, done USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.to_position > last_position(NEW.tenant_id, NEW.ledger_id, before) THEN
        RAISE EXCEPTION 'runs: % may not pass %', NEW.stage, before
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER runs_guard BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION runs_guard();
ALTER TABLE runs ENABLE ALWAYS TRIGGER runs_guard;
"""

LEDGER_GUARDS = """
CREATE FUNCTION rejections_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    new record;
BEGIN
    SELECT min(tenant_id) AS tenant_id, min(ledger_id) AS ledger_id, count(*) AS rows,
           min(position) AS first, max(position) AS last,
           min(tenant_id) = max(tenant_id) AND min(ledger_id) = max(ledger_id) AS one_ledger
      INTO new FROM new_rows;
    IF new.rows = 0 THEN RETURN NULL; END IF;
    IF NOT new.one_ledger OR new.first < 1
       OR new.last > last_position(new.tenant_id, new.ledger_id, 'accept') THEN
        RAISE EXCEPTION 'rejections: positions % to % are not of one log', new.first, new.last
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF EXISTS (SELECT position FROM new_rows
               INTERSECT
               SELECT position FROM postings p
                WHERE p.tenant_id = new.tenant_id AND p.ledger_id = new.ledger_id
                  AND p.position BETWEEN new.first AND new.last) THEN
        RAISE EXCEPTION 'rejections: an operation from % to % has postings', new.first, new.last
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER rejections_guard AFTER INSERT ON rejections
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rejections_guard();
ALTER TABLE rejections ENABLE ALWAYS TRIGGER rejections_guard;

CREATE FUNCTION postings_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    new record;
    bad record;
BEGIN
    SELECT min(tenant_id) AS tenant_id, min(ledger_id) AS ledger_id, count(*) AS rows,
           min(position) AS first, max(position) AS last,
           min(tenant_id) = max(tenant_id) AND min(ledger_id) = max(ledger_id) AS one_ledger
      INTO new FROM new_rows;
    IF new.rows = 0 THEN RETURN NULL; END IF;
    IF NOT new.one_ledger OR new.first < 1
       OR new.last > last_position(new.tenant_id, new.ledger_id, 'authorize') THEN
        RAISE EXCEPTION 'postings: positions % to % are not authorized', new.first, new.last
            USING ERRCODE = 'foreign_key_violation';
    END IF;

    SELECT position, currency INTO bad FROM new_rows
     GROUP BY position, pending, currency HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'postings: position % does not sum to zero in %',
            bad.position, bad.currency USING ERRCODE = 'check_violation';
    END IF;

    SELECT position INTO bad FROM new_rows
     GROUP BY position HAVING count(*) < 2 OR min(leg) <> 0 OR max(leg) <> count(*) - 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'postings: the legs of position % are not 0 to n - 1', bad.position
            USING ERRCODE = 'check_violation';
    END IF;

    IF EXISTS (SELECT position FROM new_rows
               INTERSECT
               SELECT position FROM rejections r
                WHERE r.tenant_id = new.tenant_id AND r.ledger_id = new.ledger_id
                  AND r.position BETWEEN new.first AND new.last) THEN
        RAISE EXCEPTION 'postings: an operation from % to % was rejected', new.first, new.last
            USING ERRCODE = 'check_violation';
    END IF;

    -- Each posting continues its account: version before + 1, balance before + amount.
    SELECT c.account, c.version INTO bad
      FROM (SELECT account, pending, currency, version, amount, balance_after,
                   lag(version) OVER chain AS version_before,
                   lag(balance_after) OVER chain AS balance_before,
                   lag(currency) OVER chain AS currency_before
              FROM new_rows
            WINDOW chain AS (PARTITION BY account, pending ORDER BY version)) c
      LEFT JOIN LATERAL (
            SELECT p.version, p.balance_after, p.currency FROM postings p
             WHERE c.version_before IS NULL
               AND p.tenant_id = new.tenant_id AND p.ledger_id = new.ledger_id
               AND p.account = c.account AND p.pending = c.pending AND p.version = c.version - 1
             LIMIT 1) p ON true
     WHERE c.version <> coalesce(c.version_before, p.version, 0) + 1
        OR c.balance_after <> coalesce(c.balance_before, p.balance_after, 0) + c.amount
        OR c.currency <> coalesce(c.currency_before, p.currency, c.currency)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'postings: version % of account % does not continue the one before it',
            bad.version, bad.account USING ERRCODE = 'check_violation';
    END IF;

    -- The account itself, written before its postings, ends where they end.
    SELECT c.account, c.version INTO bad
      FROM (SELECT DISTINCT ON (account, pending) account, pending, currency, version,
                   balance_after
              FROM new_rows ORDER BY account, pending, version DESC) c
      LEFT JOIN LATERAL (
            SELECT a.currency,
                   CASE WHEN c.pending THEN a.pending_version ELSE a.version END AS version,
                   CASE WHEN c.pending THEN a.credits_pending - a.debits_pending
                        ELSE a.credits_posted - a.debits_posted END AS balance
              FROM accounts a
             WHERE a.tenant_id = new.tenant_id AND a.ledger_id = new.ledger_id
               AND a.number = c.account LIMIT 1) a ON true
     WHERE (a.version, a.balance, a.currency)
           IS DISTINCT FROM (c.version, c.balance_after, c.currency)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'postings: account % is not at version % with that balance',
            bad.account, bad.version USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER postings_guard AFTER INSERT ON postings
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION postings_guard();
ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_guard;

CREATE FUNCTION accounts_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'accounts: the totals of % may only change with a new version', NEW.code
        USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER accounts_begin_empty BEFORE INSERT ON accounts FOR EACH ROW
    WHEN (NEW.version <> 0 OR NEW.pending_version <> 0
          OR NEW.debits_posted <> 0 OR NEW.credits_posted <> 0
          OR NEW.debits_pending <> 0 OR NEW.credits_pending <> 0)
    EXECUTE FUNCTION accounts_guard();
CREATE TRIGGER accounts_change_by_version BEFORE UPDATE ON accounts FOR EACH ROW
    WHEN (NEW.version < OLD.version OR NEW.pending_version < OLD.pending_version
          OR (NEW.version = OLD.version
              AND (NEW.debits_posted, NEW.credits_posted)
                  IS DISTINCT FROM (OLD.debits_posted, OLD.credits_posted))
          OR (NEW.pending_version = OLD.pending_version
              AND (NEW.debits_pending, NEW.credits_pending)
                  IS DISTINCT FROM (OLD.debits_pending, OLD.credits_pending)))
    EXECUTE FUNCTION accounts_guard();
ALTER TABLE accounts ENABLE ALWAYS TRIGGER accounts_begin_empty;
ALTER TABLE accounts ENABLE ALWAYS TRIGGER accounts_change_by_version;

CREATE FUNCTION audit_blocks_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    previous record;
BEGIN
    SELECT height, to_position, hash INTO previous FROM audit_blocks b
     WHERE b.tenant_id = NEW.tenant_id AND b.ledger_id = NEW.ledger_id
     ORDER BY height DESC LIMIT 1;
    IF (NEW.height, NEW.from_position, NEW.previous_hash) IS DISTINCT FROM
       (coalesce(previous.height, 0) + 1, coalesce(previous.to_position, 0) + 1,
        coalesce(previous.hash, decode(repeat('00', 32), 'hex'))) THEN
        RAISE EXCEPTION 'audit_blocks: block % does not continue the chain', NEW.height
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_blocks_guard BEFORE INSERT ON audit_blocks
    FOR EACH ROW EXECUTE FUNCTION audit_blocks_guard();
ALTER TABLE audit_blocks ENABLE ALWAYS TRIGGER audit_blocks_guard;
"""

TENANT_TABLES = (
    "tenants",
    "ledgers",
    "operations",
    "idempotency_keys",
    "accounts",
    "rejections",
    "postings",
    "runs",
    "audit_blocks",
    "attempts",
)
TENANT_POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY {table}_of_tenant ON {table}
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
"""

# The owner makes tenants (as itself, under FORCE) and names no other row.
OWNER_POLICY = """
CREATE POLICY tenants_by_owner ON tenants TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY ledgers_by_owner ON ledgers TO CURRENT_USER USING (true) WITH CHECK (true);
"""

SWEEPER_POLICY = """
CREATE POLICY {table}_progress ON {table} FOR SELECT TO trident_sweeper USING (true);
GRANT SELECT ({columns}) ON {table} TO trident_sweeper;
"""
SWEEPER_SEES = {
    "ledgers": "tenant_id, ledger_id, name",
    "operations": "tenant_id, ledger_id, position",
    "runs": "tenant_id, ledger_id, stage, from_position, to_position",
}

GRANTS = """
GRANT SELECT ON tenants TO trident_app;
GRANT SELECT, INSERT ON ledgers, operations, idempotency_keys, rejections, postings, runs,
    audit_blocks TO trident_app;
GRANT SELECT, INSERT ON accounts TO trident_app;
GRANT UPDATE (overdraft, status, name, metadata, version, pending_version,
    debits_posted, credits_posted, debits_pending, credits_pending) ON accounts TO trident_app;
GRANT SELECT, INSERT, DELETE ON attempts TO trident_app;
"""

# Derived, never stored. security_invoker: the policies of whoever asks apply.
VIEW = """
CREATE VIEW operation_statuses WITH (security_invoker = true) AS
SELECT o.tenant_id, o.ledger_id, o.position, o.id, o.kind, o.idempotency_key, o.accepted_at,
       o.body, r.code AS rejection_code, r.stage AS rejection_stage,
       CASE WHEN r.position IS NOT NULL THEN 'rejected'
            WHEN o.position <= last_position(o.tenant_id, o.ledger_id, 'post') THEN 'posted'
            WHEN o.position <= last_position(o.tenant_id, o.ledger_id, 'authorize')
                THEN 'authorized'
            WHEN o.position <= last_position(o.tenant_id, o.ledger_id, 'validate')
                THEN 'validated'
            ELSE 'accepted' END AS status
  FROM operations o
  LEFT JOIN rejections r USING (tenant_id, ledger_id, position);
GRANT SELECT ON operation_statuses TO trident_app;
"""

FIRST_TENANT = """
INSERT INTO tenants (name) VALUES ('default');
INSERT INTO ledgers (tenant_id, name) SELECT tenant_id, 'main' FROM tenants;
"""


def upgrade() -> None:
    op.execute(ROLES)
    op.execute(TABLES)
    for table, example in EXAMPLES.items():
        op.execute(TEACH_PLANNER.format(table=table, example=example))
    op.execute(APPEND_ONLY)
    for table in APPEND_ONLY_TABLES:
        op.execute(APPEND_ONLY_TABLE.format(table=table))
    op.execute(RUNS_GUARD)
    op.execute(OPERATIONS_GUARD)
    op.execute(LEDGER_GUARDS)
    for table in TENANT_TABLES:
        op.execute(TENANT_POLICY.format(table=table))
    op.execute(OWNER_POLICY)
    for table, columns in SWEEPER_SEES.items():
        op.execute(SWEEPER_POLICY.format(table=table, columns=columns))
    op.execute(GRANTS)
    op.execute(VIEW)
    op.execute(FIRST_TENANT)


def downgrade() -> None:
    raise NotImplementedError("The first migration is not undone: drop the database instead.")
