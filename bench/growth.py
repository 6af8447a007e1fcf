"""growth: the same work and the same questions with ever more in the ledger.

The ledger is filled by the limit's writer (bench/others/limit.py), which leaves the rows that
Trident would and is several times faster.
"""

import http.client
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from sqlalchemy import text

from bench.bulk import ACCOUNTS
from bench.figures import Figures
from bench.hot import HOT, half_from_one
from bench.idle import one_at_a_time
from bench.measure import (
    MS,
    TENANT,
    Load,
    new_ledger,
    open_accounts,
    owner_connection,
    percentile,
    reached,
    transfers,
    uniform,
)
from bench.mixed import first_pair
from bench.others import limit as lean
from models.db import tenant_reading
from models.ledger import LedgerRef

BULK = 20_000
IDLE = 50
READS = 50
LEGS = 2  # postings of a transfer
# Transfers that are made and laid ready at a time: about 100 MB of Python's memory.
PORTION = 200_000
READ = {"balance": "", "postings": "/postings?limit=100"}

SIZES = text(
    "SELECT sum(pg_table_size(oid))::bigint, sum(pg_indexes_size(oid))::bigint FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)


def growth(env: Mapping[str, str], postings: Sequence[int]) -> Figures:
    """One case for each number of postings, smallest first."""
    lean.prepare()
    ledger = new_ledger("growth")
    codes = open_accounts(ledger, ACCOUNTS)
    began, before = reached(ledger, "accept"), sizes()
    cases = {}
    for wanted in sorted(postings):
        fill(ledger, codes, wanted // LEGS)
        case = f"{wanted:,}"
        cases[case] = Load(ledger, transfers(uniform(codes), BULK)).play().figures
        idle = one_at_a_time(env, ledger, first_pair(codes), IDLE)
        cases[case] |= {f"idle_{name}": idle[name] for name in ("posted_p50_ms", "posted_p99_ms")}
        cases[case] |= reads(env, ledger)
        operations = reached(ledger, "accept") - began
        tables, indexes = (now - then for now, then in zip(sizes(), before, strict=True))
        cases[case]["table_bytes_per_op"] = tables / operations
        cases[case]["index_bytes_per_op"] = indexes / operations
    notes = [
        f"Postings in the ledger before each column's {BULK:,} transfers in bulk, {IDLE} idle ones"
        f" and {READS} reads of {HOT}, which has every fourth posting.",
        "Filled by the limit's writer. Postings: a page of 100 of them.",
    ]
    return Figures("growth", "growth: by postings in the ledger", cases, notes)


def fill(ledger: LedgerRef, codes: list[str], wanted: int) -> None:
    """Write transfers until the log has so many, then let Postgres tidy up as it would in time."""
    pairs = half_from_one(codes)
    filled = False
    while (missing := wanted - reached(ledger, "notify")) > 0:
        portion = transfers(pairs, min(PORTION, missing))
        first = reached(ledger, "notify") + 1
        lean.stage(ledger, first, portion)
        lean.write(ledger, first, first + len(portion) - 1)
        lean.clear(ledger)
        filled = True
    if filled:
        with owner_connection() as connection, connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE)")


def sizes() -> tuple[int, int]:
    """Bytes of all tables, and of all indexes."""
    with tenant_reading(TENANT) as connection:
        tables, indexes = connection.execute(SIZES).one()
    return tables, indexes


def reads(env: Mapping[str, str], ledger: LedgerRef) -> dict[str, float]:
    """p50 and p99 of balance and a page of postings, of the account that has the most."""
    url = urlsplit(env["TRIDENT_URL"])
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    headers = {"Authorization": f"Bearer {env['TRIDENT_TOKEN']}"}
    figures = {}
    for name, rest in READ.items():
        took = []
        for _ in itertools.repeat(None, READS):
            began = time.perf_counter()
            path = f"/v1/ledgers/{ledger.name}/accounts/{HOT}{rest}"
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            took.append(time.perf_counter() - began)
            assert answer.status == http.client.OK, json.loads(body)
        figures[f"{name}_p50_ms"] = percentile(took, 0.50) * MS
        figures[f"{name}_p99_ms"] = percentile(took, 0.99) * MS
    connection.close()
    return figures
