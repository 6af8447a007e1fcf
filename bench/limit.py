"""limit: how near Trident comes to the leanest SQL that writes the same rows."""

import time
from operator import attrgetter

from bench.bulk import ACCOUNTS, prepared
from bench.cpu import metered
from bench.figures import Figures
from bench.measure import Load, Pace, await_indexed, new_ledger, open_accounts, reached
from bench.others import limit as lean
from cli.stack.supervisor import Supervisor
from models.db import tenant_reading
from pipeline.accounts import accounts
from pipeline.verify.verify import verify

REPETITIONS = 2

Balances = list[tuple[str, int]]


def limit(supervisor: Supervisor, operations: int) -> Figures:
    """Trident and the limit by turns, over the same submissions; the better of each counts."""
    lean.prepare()
    trident, leanest = [], []
    for _ in range(REPETITIONS):
        ours = prepared("limit-trident", operations)
        theirs = Load(new_ledger("limit"), ours.submissions)
        open_accounts(theirs.ledger, ACCOUNTS)
        with metered(supervisor, operations) as cpu:
            trident.append(ours.play())
        lean.stage(theirs.ledger, reached(theirs.ledger, "notify") + 1, theirs.submissions)
        await_indexed()
        with metered(supervisor, operations) as lean_cpu:
            leanest.append(written(theirs))
        assert balances(ours) == balances(theirs), "the limit's balances differ from Trident's"
    faults = [finding for finding in verify(theirs.ledger) if finding.fault]
    assert not faults, f"the limit's ledger does not verify: {faults}"
    best, best_lean = (max(paces, key=attrgetter("notified_per_s")) for paces in (trident, leanest))
    share = 100 * best.notified_per_s / best_lean.notified_per_s
    cpu_share = 100 * lean_cpu["cpu_us_in_all"] / cpu["cpu_us_in_all"]
    shares = {"share_of_limit_%": share, "share_by_cpu_%": cpu_share}
    cases = {
        "Trident": {**best.figures, **cpu, **shares},
        "the limit": {**best_lean.figures, **lean_cpu},
    }
    notes = [
        f"By turns, {REPETITIONS} times each; the faster is shown. The same balances came out.",
        "CPU: microseconds for each operation in the last turn; share by CPU: the limit's of it.",
        "The index of the log is made afterwards; it is in neither.",
        "The limit: the same rows by SQL alone, in runs of 10,000, on three connections.",
    ]
    return Figures("limit", f"limit: {operations:,} transfers, one ledger", cases, notes)


def written(load: Load) -> Pace:
    """The load's transfers, which lie ready, written by the limit."""
    first = reached(load.ledger, "notify") + 1
    last = first + len(load.submissions) - 1
    began = time.time()
    ends = lean.write(load.ledger, first, last)
    return Pace(len(load.submissions), began, *ends)


def balances(load: Load) -> Balances:
    """Each account with its balance."""
    with tenant_reading(load.ledger.tenant_id) as connection:
        return [(account.code, account.balance) for account in accounts(connection, load.ledger)]
