"""Reconciliation: statements from outside, their lines, and what they were matched with.

Everything here is append-only; undoing a match is a row as well. The guards demand that a match is
written whole, by one statement, and that both its sides sum to the same. docs/database.md.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A number counts within its account. Amounts and balances stand as the other side wrote them:
# credit +, debit -. What the bank credits is debited here, so a line is the negative of a posting.
TABLES = """
CREATE TABLE external_statements (
    imported_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    opening_balance  bigint CHECK (abs(opening_balance) <= 9000000000000000000),
    closing_balance  bigint CHECK (abs(closing_balance) <= 9000000000000000000),
    tenant_id        integer NOT NULL,
    ledger_id        integer NOT NULL,
    account          integer NOT NULL,
    number           integer NOT NULL CHECK (number > 0),
    part             integer NOT NULL CHECK (part > 0),
    lines            integer NOT NULL CHECK (lines >= 0),
    known_lines      integer NOT NULL CHECK (known_lines >= 0),
    from_date        date NOT NULL CHECK (from_date >= '1900-01-01'),
    to_date          date NOT NULL CHECK (to_date >= from_date),
    currency         char(3) NOT NULL,
    format           text NOT NULL CHECK (format IN ('csv', 'camt.053', 'ofx')),
    file_hash        bytea NOT NULL CHECK (octet_length(file_hash) = 32),
    file_name        text,
    external_account text,
    reference        text,
    imported_by      text NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, account, number),
    UNIQUE (tenant_id, ledger_id, account, file_hash, part)
);

-- identity: 16 bytes of SHA-256 of the bank's own id, or of the content where the bank gives none.
CREATE TABLE external_lines (
    number               bigint NOT NULL CHECK (number > 0),
    amount               bigint NOT NULL
        CHECK (amount <> 0 AND abs(amount) <= 1000000000000000),
    identity             uuid NOT NULL,
    tenant_id            integer NOT NULL,
    ledger_id            integer NOT NULL,
    account              integer NOT NULL,
    statement            integer NOT NULL,
    booking_date         date NOT NULL CHECK (booking_date >= '1900-01-01'),
    value_date           date,
    bank_id              text,
    refs                 text[] NOT NULL,
    counterparty         text,
    counterparty_account text,
    description          text,
    place                text NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, account, number),
    UNIQUE (tenant_id, ledger_id, account, identity)
);

CREATE TABLE bookings (
    booking         bigint NOT NULL CHECK (booking > 0),
    made_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id       integer NOT NULL,
    ledger_id       integer NOT NULL,
    account         integer NOT NULL,
    idempotency_key text NOT NULL,
    lines           bigint[] NOT NULL CHECK (cardinality(lines) > 0),
    positions       bigint[] NOT NULL,
    legs            smallint[] NOT NULL CHECK (cardinality(legs) = cardinality(positions)),
    made_by         text NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, account, booking),
    UNIQUE (tenant_id, ledger_id, idempotency_key)
);

CREATE TABLE matches (
    match     bigint NOT NULL CHECK (match > 0),
    undoes    bigint,
    booking   bigint,
    made_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    account   integer NOT NULL,
    rule      text NOT NULL CHECK (rule IN ('reference', 'reference_sum', 'amount_and_date', 'sum',
                                            'manual', 'booked', 'ignored', 'undone')),
    reason    text CHECK (reason IS NOT NULL OR rule NOT IN ('ignored', 'undone')),
    made_by   text NOT NULL,
    CHECK ((undoes IS NOT NULL) = (rule = 'undone')),
    CHECK ((booking IS NOT NULL) = (rule = 'booked')),
    PRIMARY KEY (tenant_id, ledger_id, account, match),
    UNIQUE (tenant_id, ledger_id, account, undoes)
);

CREATE INDEX matches_of_a_booking ON matches (tenant_id, ledger_id, account, booking)
    WHERE booking IS NOT NULL;

-- turn: how often the line was matched before, each time undone. So the primary keys of these two
-- tables say that nothing is matched twice at a time, whoever writes at the same moment.
CREATE TABLE matched_lines (
    line      bigint NOT NULL,
    match     bigint NOT NULL,
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    account   integer NOT NULL,
    turn      integer NOT NULL CHECK (turn >= 0),
    PRIMARY KEY (tenant_id, ledger_id, account, line, turn)
);
CREATE INDEX matched_lines_of_a_match ON matched_lines (tenant_id, ledger_id, account, match);

CREATE TABLE matched_postings (
    position  bigint NOT NULL,
    match     bigint NOT NULL,
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    account   integer NOT NULL,
    turn      integer NOT NULL CHECK (turn >= 0),
    leg       smallint NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, account, position, leg, turn)
);
CREATE INDEX matched_postings_of_a_match ON matched_postings (tenant_id, ledger_id, account, match);

CREATE TABLE csv_mappings (
    made_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    version   integer NOT NULL CHECK (version > 0),
    name      text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    mapping   json NOT NULL,
    made_by   text NOT NULL,
    PRIMARY KEY (tenant_id, ledger_id, name, version)
);
"""

# As the first migration does it: a ledger that statistics have not seen is found by the whole key.
TEACH_PLANNER = """
ALTER TABLE {table} ALTER tenant_id SET (n_distinct = 4), ALTER ledger_id SET (n_distinct = 4),
    ALTER account SET (n_distinct = 4);
{example};
ANALYZE {table};
ALTER TABLE {table} ALTER tenant_id SET STATISTICS 0, ALTER ledger_id SET STATISTICS 0,
    ALTER account SET STATISTICS 0;
TRUNCATE {table};
"""
EXAMPLES = {
    "external_lines": "INSERT INTO external_lines (number, amount, identity, tenant_id, ledger_id,"
    " account, statement, booking_date, refs, place) SELECT n, n, gen_random_uuid(), n, n, n, n,"
    " '2026-01-01'::date + n, '{}', 'line 1' FROM generate_series(1, 3000) n",
    "matches": "INSERT INTO matches (match, tenant_id, ledger_id, account, rule, made_by)"
    " SELECT n, n, n, n, 'reference', 'x' FROM generate_series(1, 3000) n",
    "matched_lines": "INSERT INTO matched_lines SELECT n, n, n, n, n, 0"
    " FROM generate_series(1, 3000) n",
    "matched_postings": "INSERT INTO matched_postings SELECT n, n, n, n, n, 0, 0"
    " FROM generate_series(1, 3000) n",
}

STATEMENT_GUARDS = """
CREATE FUNCTION external_statements_guard() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM accounts a
                    WHERE a.tenant_id = NEW.tenant_id AND a.ledger_id = NEW.ledger_id
                      AND a.number = NEW.account AND a.currency = NEW.currency) THEN
        RAISE EXCEPTION 'external_statements: no account % in %', NEW.account, NEW.currency
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER external_statements_guard BEFORE INSERT ON external_statements
    FOR EACH ROW EXECUTE FUNCTION external_statements_guard();
ALTER TABLE external_statements ENABLE ALWAYS TRIGGER external_statements_guard;

CREATE FUNCTION external_lines_guard() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    bad record;
BEGIN
    SELECT n.statement INTO bad
      FROM (SELECT DISTINCT tenant_id, ledger_id, account, statement FROM new_rows) n
     WHERE NOT EXISTS (SELECT FROM external_statements s
                        WHERE s.tenant_id = n.tenant_id AND s.ledger_id = n.ledger_id
                          AND s.account = n.account AND s.number = n.statement)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'external_lines: statement % does not exist', bad.statement
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER external_lines_guard AFTER INSERT ON external_lines
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION external_lines_guard();
ALTER TABLE external_lines ENABLE ALWAYS TRIGGER external_lines_guard;
"""

# A match is proved when it is written, after the whole statement; and its items can only be written
# by that same statement (cmin, the number of the command within its transaction): so nothing can be
# added to a match later.
MATCHES_GUARD = """
CREATE FUNCTION matches_guard() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    own record;
    bad record;
BEGIN
    SELECT min(tenant_id) AS tenant_id, min(ledger_id) AS ledger_id, min(account) AS account,
           count(*) AS rows,
           count(DISTINCT (tenant_id, ledger_id, account)) = 1 AS one_account
      INTO own FROM new_rows;
    IF own.rows = 0 THEN RETURN NULL; END IF;
    IF NOT own.one_account THEN
        RAISE EXCEPTION '%: one statement, one account', TG_TABLE_NAME
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT n.match, m.rule, lines.many AS lines, postings.many AS postings,
           lines.amount + postings.amount AS difference INTO bad
      FROM (SELECT DISTINCT match FROM new_rows) n
      LEFT JOIN LATERAL (
            SELECT rule, undoes FROM matches m
             WHERE m.tenant_id = own.tenant_id AND m.ledger_id = own.ledger_id
               AND m.account = own.account AND m.match = n.match LIMIT 1) m ON true
     CROSS JOIN LATERAL (
            SELECT count(*) AS many, count(l.amount) AS found, coalesce(sum(l.amount), 0) AS amount
              FROM matched_lines i
              LEFT JOIN LATERAL (
                    SELECT amount FROM external_lines l
                     WHERE l.tenant_id = own.tenant_id AND l.ledger_id = own.ledger_id
                       AND l.account = own.account AND l.number = i.line LIMIT 1) l ON true
             WHERE i.tenant_id = own.tenant_id AND i.ledger_id = own.ledger_id
               AND i.account = own.account AND i.match = n.match) lines
     CROSS JOIN LATERAL (
            SELECT count(*) AS many, count(p.amount) AS found, coalesce(sum(p.amount), 0) AS amount
              FROM matched_postings i
              LEFT JOIN LATERAL (
                    SELECT amount FROM postings p
                     WHERE p.tenant_id = own.tenant_id AND p.ledger_id = own.ledger_id
                       AND p.position = i.position AND p.leg = i.leg
                       AND p.account = own.account AND NOT p.pending LIMIT 1) p ON true
             WHERE i.tenant_id = own.tenant_id AND i.ledger_id = own.ledger_id
               AND i.account = own.account AND i.match = n.match) postings
     WHERE NOT coalesce(
            lines.found = lines.many AND postings.found = postings.many
            AND CASE m.rule
                WHEN 'undone' THEN lines.many + postings.many = 0 AND EXISTS (
                     SELECT FROM matches u
                      WHERE u.tenant_id = own.tenant_id AND u.ledger_id = own.ledger_id
                        AND u.account = own.account AND u.match = m.undoes
                        AND u.undoes IS NULL)
                WHEN 'ignored' THEN (lines.many = 0) <> (postings.many = 0)
                ELSE lines.many > 0 AND postings.many > 0
                     AND lines.amount = -postings.amount END, false)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'matches: match % (%) of % lines and % postings does not balance: %',
            bad.match, bad.rule, bad.lines, bad.postings, bad.difference
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION matched_guard() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    own record;
    bad record;
BEGIN
    EXECUTE format(
        'SELECT i.xmin AS writer, i.cmin AS written FROM %I i'
        '  JOIN (SELECT * FROM new_rows LIMIT 1) n USING (tenant_id, ledger_id, account, %s, turn)',
        TG_TABLE_NAME,
        CASE TG_TABLE_NAME WHEN 'matched_lines' THEN 'line' ELSE 'position, leg' END) INTO own;
    SELECT n.match INTO bad
      FROM (SELECT DISTINCT tenant_id, ledger_id, account, match FROM new_rows) n
      LEFT JOIN LATERAL (
            SELECT m.xmin AS writer, m.cmin AS written FROM matches m
             WHERE m.tenant_id = n.tenant_id AND m.ledger_id = n.ledger_id
               AND m.account = n.account AND m.match = n.match LIMIT 1) m ON true
     WHERE m.writer IS DISTINCT FROM own.writer OR m.written IS DISTINCT FROM own.written
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%: match % was not written by the same statement',
            TG_TABLE_NAME, bad.match USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION turns_guard() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    undone boolean;
BEGIN
    IF TG_TABLE_NAME = 'matched_lines' THEN
        undone := EXISTS (
            SELECT FROM matched_lines b JOIN matches u
                ON u.tenant_id = b.tenant_id AND u.ledger_id = b.ledger_id
                   AND u.account = b.account AND u.undoes = b.match
             WHERE b.tenant_id = NEW.tenant_id AND b.ledger_id = NEW.ledger_id
               AND b.account = NEW.account AND b.line = NEW.line AND b.turn = NEW.turn - 1);
    ELSE
        undone := EXISTS (
            SELECT FROM matched_postings b JOIN matches u
                ON u.tenant_id = b.tenant_id AND u.ledger_id = b.ledger_id
                   AND u.account = b.account AND u.undoes = b.match
             WHERE b.tenant_id = NEW.tenant_id AND b.ledger_id = NEW.ledger_id
               AND b.account = NEW.account AND b.position = NEW.position AND b.leg = NEW.leg
               AND b.turn = NEW.turn - 1);
    END IF;
    IF NOT undone THEN
        RAISE EXCEPTION '%: turn % begins before the one before it was undone',
            TG_TABLE_NAME, NEW.turn USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
GUARDED_MATCHES = """
CREATE TRIGGER {table}_guard AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_guard;
"""
GUARDED_TURNS = """
CREATE TRIGGER {table}_turn BEFORE INSERT ON {table} FOR EACH ROW WHEN (NEW.turn > 0)
    EXECUTE FUNCTION turns_guard();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_turn;
"""

ALL_TABLES = (
    "external_statements",
    "external_lines",
    "bookings",
    "matches",
    "matched_lines",
    "matched_postings",
    "csv_mappings",
)
PROTECTED = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate;
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY {table}_of_tenant ON {table}
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
GRANT SELECT, INSERT ON {table} TO trident_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table, example in EXAMPLES.items():
        op.execute(TEACH_PLANNER.format(table=table, example=example))
    op.execute(STATEMENT_GUARDS)
    op.execute(MATCHES_GUARD)
    op.execute(GUARDED_MATCHES.format(table="matches", function="matches_guard"))
    for table in ("matched_lines", "matched_postings"):
        op.execute(GUARDED_MATCHES.format(table=table, function="matched_guard"))
        op.execute(GUARDED_TURNS.format(table=table))
    for table in ALL_TABLES:
        op.execute(PROTECTED.format(table=table))


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
