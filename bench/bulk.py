"""bulk: one ledger is fed as fast as the log takes it, and drained to the last stage."""

import time

from sqlalchemy import text

from bench.measure import TENANT, Figures, feed, new_ledger, open_accounts, transfers, wait_for
from models.db import tenant_reading

ACCOUNTS = 1_000


def bulk(operations: int) -> Figures:
    """Rates from the first accept to the last accepted, posted and notified operation."""
    ledger = new_ledger("bench-bulk")
    submissions = transfers(open_accounts(ledger, ACCOUNTS), operations)
    before = database_bytes()
    start = time.perf_counter()
    last = feed(ledger, submissions)
    accepted_s = time.perf_counter() - start
    wait_for(ledger, "post", last)
    posted_s = time.perf_counter() - start
    wait_for(ledger, "notify", last)
    notified_s = time.perf_counter() - start
    return Figures(
        "bulk, one ledger",
        {
            "operations": operations,
            "accepted_per_s": operations / accepted_s,
            "posted_per_s": operations / posted_s,
            "notified_per_s": operations / notified_s,
            "bytes_per_transfer": (database_bytes() - before) / operations,
        },
    )


def database_bytes() -> int:
    """All tables with their indexes."""
    query = text(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    with tenant_reading(TENANT) as connection:
        return int(connection.execute(query).scalar_one())
