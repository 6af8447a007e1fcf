"""The index of the log, by which operations are searched.

It is a projection: whatever it holds can be made again from the log and the postings, so it may be
deleted and written anew. docs/database.md says how it is made.

Under row-level security the planner uses an index only for comparisons that cannot leak. Those of
full-text search, of arrays and of jsonb can, so no GIN index would ever be used here; integers in a
B-tree are.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# 4,096 positions of a ledger are a segment. What can be searched for has a code, and a bucket is a
# range of codes: `places` says where in the segment each of its codes is, `dense` which of them are
# almost everywhere in it. Both are sorted unsigned integers of four bytes.
TABLES = """
CREATE TABLE search_index (
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    segment   integer NOT NULL CHECK (segment >= 0),
    bucket    smallint NOT NULL CHECK (bucket >= 0),
    places    bytea NOT NULL CHECK (octet_length(places) % 4 = 0),
    dense     bytea NOT NULL CHECK (octet_length(dense) % 4 = 0),
    PRIMARY KEY (tenant_id, ledger_id, bucket, segment),
    CONSTRAINT search_index_not_empty CHECK (octet_length(places) + octet_length(dense) > 0)
);
-- Sorted numbers do not compress.
ALTER TABLE search_index ALTER places SET STORAGE EXTERNAL;

-- How many segments of a ledger's log are in the index: all of the first so many.
CREATE TABLE search_progress (
    tenant_id integer NOT NULL,
    ledger_id integer NOT NULL,
    segments  integer NOT NULL CHECK (segments >= 0),
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, ledger_id)
);

-- Codes of accounts that begin alike stand together in the order of their bytes alone.
CREATE INDEX accounts_by_prefix ON accounts (tenant_id, ledger_id, code COLLATE "C");
"""

# As in 0001: a ledger that statistics have not seen is looked up by the whole key all the same.
TEACH_PLANNER = """
ALTER TABLE search_index ALTER tenant_id SET (n_distinct = 4), ALTER ledger_id SET (n_distinct = 4);
INSERT INTO search_index SELECT n, n, n % 100, n % 128, '\\x00000000', ''
  FROM generate_series(1, 3000) n;
ANALYZE search_index;
ALTER TABLE search_index ALTER tenant_id SET STATISTICS 0, ALTER ledger_id SET STATISTICS 0;
TRUNCATE search_index;
"""

# One segment after the other, and never more of them than the last stage has passed.
GUARD = """
CREATE FUNCTION search_progress_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.segments <> 1 + coalesce(OLD.segments, 0) THEN
        RAISE EXCEPTION 'search_progress: % segments do not follow the ones before', NEW.segments
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.segments::bigint * 4096 > last_position(NEW.tenant_id, NEW.ledger_id, 'notify') THEN
        RAISE EXCEPTION 'search_progress: the index may not pass notify'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER search_progress_guard BEFORE INSERT OR UPDATE ON search_progress
    FOR EACH ROW EXECUTE FUNCTION search_progress_guard();
ALTER TABLE search_progress ENABLE ALWAYS TRIGGER search_progress_guard;
"""

TENANT_POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY {table}_of_tenant ON {table}
    USING (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('trident.tenant', true), '')::int));
"""

# A segment is rewritten by deleting its rows; what is left of a row is never changed.
GRANTS = """
GRANT SELECT, INSERT, DELETE ON search_index TO trident_app;
GRANT SELECT, INSERT ON search_progress TO trident_app;
GRANT UPDATE (segments, at) ON search_progress TO trident_app;
CREATE POLICY search_progress_progress ON search_progress FOR SELECT TO trident_sweeper
    USING (true);
GRANT SELECT (tenant_id, ledger_id, segments) ON search_progress TO trident_sweeper;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(TEACH_PLANNER)
    op.execute(GUARD)
    for table in ("search_index", "search_progress"):
        op.execute(TENANT_POLICY.format(table=table))
    op.execute(GRANTS)


def downgrade() -> None:
    raise NotImplementedError("Migrations are not undone: restore a backup instead.")
