"""bulk: ledgers are fed as fast as their logs take it, and drained to the last stage."""

import multiprocessing
import time
from multiprocessing.synchronize import Barrier

from sqlalchemy import text

from bench.cpu import metered
from bench.figures import Figures
from bench.measure import (
    TENANT,
    WAIT_S,
    Load,
    await_indexed,
    feed,
    new_ledger,
    open_accounts,
    pace,
    transfers,
    uniform,
)
from cli.stack.supervisor import Supervisor
from models.db import tenant_reading
from models.ledger import LedgerRef

ACCOUNTS = 1_000
LEDGERS = 4


def bulk(supervisor: Supervisor, operations: int) -> Figures:
    """One ledger, then as many operations on four at once."""
    cases = {
        "one ledger": one_ledger(supervisor, operations),
        "four ledgers": four_ledgers(operations),
    }
    notes = [
        "Each rate counts from the first accept to the last accepted, posted, notified operation.",
        "CPU: microseconds for each operation, by part of the stack; feeder: what accepts.",
        "Four ledgers: four processes feed one each; the rates are of all together.",
    ]
    return Figures("bulk", f"bulk: {operations:,} transfers at once", cases, notes)


def prepared(scenario: str, operations: int, seed: int = 1) -> Load:
    """A ledger with ACCOUNTS accounts, and transfers between any two of them."""
    ledger = new_ledger(scenario)
    codes = open_accounts(ledger, ACCOUNTS)
    await_indexed()
    return Load(ledger, transfers(uniform(codes, seed), operations))


def one_ledger(supervisor: Supervisor, operations: int) -> dict[str, float]:
    """The rates, and for each transfer the bytes on disk and the work of the cores."""
    load = prepared("bulk", operations)
    before = database_bytes()
    with metered(supervisor, operations) as cpu:
        paced = load.play()
    grown = database_bytes() - before
    return {**paced.figures, "bytes_per_transfer": grown / operations, **cpu}


def four_ledgers(operations: int) -> dict[str, float]:
    """The rates of all together, fed by a process each."""
    spawn = multiprocessing.get_context("spawn")
    share = operations // LEDGERS
    ready = spawn.Barrier(LEDGERS + 1)
    ledgers = [new_ledger("bulk") for _ in range(LEDGERS)]
    with spawn.Manager() as manager:
        ends: dict[int, tuple[float, int]] = manager.dict()  # type: ignore[assignment]
        feeders = [
            spawn.Process(target=feed_one, args=(ledger, share, ready, ends)) for ledger in ledgers
        ]
        for feeder in feeders:
            feeder.start()
        ready.wait(WAIT_S)
        began = time.time()
        for feeder in feeders:
            feeder.join()
            assert feeder.exitcode == 0, "a feeding process failed; what it said stands above"
        accepted = max(end for end, _ in ends.values())
        lasts = [(ledger, ends[ledger.ledger_id][1]) for ledger in ledgers]
    return pace(share * LEDGERS, began, accepted, lasts).figures


def feed_one(
    ledger: LedgerRef, operations: int, ready: Barrier, ends: dict[int, tuple[float, int]]
) -> None:
    """In a process of its own: make transfers, wait for the others, feed."""
    codes = open_accounts(ledger, ACCOUNTS)
    submissions = transfers(uniform(codes, seed=ledger.ledger_id), operations)
    ready.wait(WAIT_S)
    last = feed(ledger, submissions)
    ends[ledger.ledger_id] = (time.time(), last)


def database_bytes() -> int:
    """All tables with their indexes."""
    query = text(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    with tenant_reading(TENANT) as connection:
        return int(connection.execute(query).scalar_one())
