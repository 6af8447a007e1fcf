"""tenants: a thousand small ledgers at once, and a neighbour who imports."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from bench.bulk import ACCOUNTS
from bench.figures import Figures
from bench.measure import (
    MS,
    NO_LAG_BOUND,
    TENANT,
    feed,
    new_ledger,
    open_accounts,
    owner_connection,
    submission,
    wait_for,
)
from bench.mixed import beside_import, first_pair
from models import token
from models.db import app_engine, raw_connection, tenant_reading
from models.ledger import LedgerRef
from pipeline.accept import accept
from pipeline.receipt import Accepted
from tasks.ring import ringer

LEDGERS = 1_000
# One connection accepts some 500 single operations a second: it waits for the disk.
FEEDERS = 8
START_IN_S = 0.5
SECOND_TENANT = "bench-neighbour"
TOKEN_LIFETIME = timedelta(hours=1)
EUR = {"type": "liability", "currency": "EUR", "overdraft": "unlimited"}

# From when each operation was accepted until the run of `post` over it was written.
LATENCIES = text("""
    SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY took),
           percentile_cont(0.99) WITHIN GROUP (ORDER BY took), max(took)
      FROM operations o
     CROSS JOIN LATERAL (
           SELECT extract(epoch FROM r.at - o.accepted_at)::float AS took FROM runs r
            WHERE r.tenant_id = o.tenant_id AND r.ledger_id = o.ledger_id AND r.stage = 'post'
              AND r.from_position <= o.position
            ORDER BY r.from_position DESC LIMIT 1) r
     WHERE o.tenant_id = :tenant AND o.ledger_id BETWEEN :first AND :last AND o.kind = 'transfer'
""")


def tenants(env: Mapping[str, str], seconds: int, rows: int) -> Figures:
    """Both cases."""
    cases = {"1,000 ledgers": thousand(seconds), "beside an import": neighbour(env, rows)}
    notes = [
        f"1,000 ledgers: an operation a second on each for {seconds} s; from accepted to posted.",
        f"Beside an import of {rows:,} rows by one tenant: single payments of another, through the"
        " API; from before the request is sent.",
    ]
    return Figures("tenants", "tenants: many at once, and a busy neighbour", cases, notes)


def thousand(seconds: int) -> dict[str, float]:
    """An operation a second on each ledger, spread evenly over the second."""
    opened = [small_ledger() for _ in range(LEDGERS)]
    for ledger, last in opened:
        wait_for(ledger, "notify", last)
    ledgers = [ledger for ledger, _ in opened]
    began = time.time() + START_IN_S
    with ThreadPoolExecutor(FEEDERS) as feeders:
        parts = [ledgers[number::FEEDERS] for number in range(FEEDERS)]
        feeding = [feeders.submit(feed_evenly, part, seconds, began) for part in parts]
    late = max(feeder.result() for feeder in feeding)
    accepted = time.time()
    for ledger, last in opened:
        wait_for(ledger, "notify", last + seconds)
    drained = time.time()
    count, p50, p99, worst = latencies(ledgers[0], ledgers[-1])
    assert count == seconds * LEDGERS, f"{count} of {seconds * LEDGERS} operations were posted"
    return {
        "operations": count,
        "accepted_per_s": count / (accepted - began),
        "posted_p50_ms": p50 * MS,
        "posted_p99_ms": p99 * MS,
        "posted_max_ms": worst * MS,
        "notified_later_s": drained - accepted,
        "feeder_late_max_ms": late * MS,
    }


def feed_evenly(ledgers: list[LedgerRef], seconds: int, began: float) -> float:
    """One operation on each of them in turn, `seconds` times; by how much it was late at worst."""
    late = 0.0
    with raw_connection(app_engine()) as connection:
        for number in range(seconds * len(ledgers)):
            due = began + number / len(ledgers)
            time.sleep(max(0.0, due - time.time()))
            late = max(late, time.time() - due)
            pay(connection, ledgers[number % len(ledgers)], f"pay-{number}")
    return late


def small_ledger() -> tuple[LedgerRef, int]:
    """A ledger with two accounts, and its last position."""
    ledger = new_ledger("tenants")
    openings = [submission(code, "open_account", {"code": code, **EUR}) for code in ("a", "b")]
    return ledger, feed(ledger, openings)


def pay(connection: Any, ledger: LedgerRef, key: str) -> None:
    """Accept one transfer and ring."""
    body = {"source": "a", "destination": "b", "amount": 1, "currency": "EUR"}
    (receipt,) = accept(connection, ledger, [submission(key, "transfer", body)], NO_LAG_BOUND)
    assert isinstance(receipt, Accepted)
    ringer().add(ledger, receipt.position)


def latencies(first: LedgerRef, last: LedgerRef) -> tuple[int, float, float, float]:
    """How many were posted, and p50, p99 and the longest in seconds."""
    scope = {"tenant": TENANT, "first": first.ledger_id, "last": last.ledger_id}
    with tenant_reading(TENANT) as connection:
        count, p50, p99, worst = connection.execute(LATENCIES, scope).one()
    return count, p50, p99, worst


def neighbour(env: Mapping[str, str], rows: int) -> dict[str, float]:
    """Single payments of a second tenant while the first imports."""
    second = second_tenant()
    imported, paying = new_ledger("import"), new_ledger("neighbour", second)
    open_accounts(imported, ACCOUNTS)
    pair = first_pair(open_accounts(paying, 2))
    bearer = token.mint("bench", second, ["admin"], TOKEN_LIFETIME)
    return beside_import(env, imported, rows, paying, pair, bearer)


def second_tenant() -> int:
    """Its number; made if need be."""
    with owner_connection() as connection, connection.cursor() as cursor:
        insert = "INSERT INTO tenants (name) VALUES (%s) ON CONFLICT DO NOTHING"
        cursor.execute(insert, (SECOND_TENANT,))
        cursor.execute("SELECT tenant_id FROM tenants WHERE name = %s", (SECOND_TENANT,))
        return int(cursor.fetchone()[0])
