"""What must hold at the end of a simulation, whatever happened on the way.

Where `trident verify` has a check, that check is used: against it the stored rows must replay
through the pure core, one operation after the other, to the very same rows.
"""

import json
from collections.abc import Callable, Iterable
from functools import lru_cache

import orjson

from models.ledger import LedgerRef
from pipeline.accept import key_hash as hash_of
from pipeline.progress import Progress
from pipeline.receipt import Accepted, Reused
from pipeline.stage import STAGES, Operation
from pipeline.verify.accounts import AccountsCheck
from pipeline.verify.chain import ChainCheck
from pipeline.verify.finding import FoundError
from pipeline.verify.reading import Chunk, Logged, Rejection
from pipeline.verify.replay import ReplayCheck
from pipeline.verify.rules import check_rules
from pipeline.verify.runs import check_runs
from pipeline.verify.shifts import ShiftsCheck
from pipeline.verify.walk import LogCheck, PostingsCheck, VersionsCheck, check_legs
from tests.chaos.asked import ASKED
from tests.chaos.evidence import Evidence, Stored
from tests.chaos.fake_driver import Connection
from tests.chaos.fake_store import Books
from tests.chaos.fates import FATES, holds, originals
from tests.chaos.finding import Finding
from tests.chaos.occurrences import OCCURRENCES
from tests.chaos.plan import LEDGERS
from tests.chaos.ruled import RULED, four_eyes
from tests.chaos.schedule import Process
from tests.chaos.workload import KILLER, POISON
from tests.chaos.world import Violated, World

Invariant = Callable[[Evidence], Finding]
key_hash = lru_cache(maxsize=1_000)(hash_of)  # All simulations number their keys alike.

# Events that faults of the surroundings explain; no other may be logged.
EXPECTED = {
    "database_unreachable",
    "due_left_for_the_next_look",
    "due_ledger_busy",
    "due_not_submitted",
    "group_lost",
    "group_not_stored",
    "errand_failed",
    "heads_not_kept",
    "ledgers_stand_still",
    "not_shown",
    "not_through",
    "not_together",
    "operation_poisoned",
    "ring_failed",
    "run_timed_out",
    "stage_failed",
    "sweep_held_back",
    "waiting_not_cleared",
}


def check(world: World) -> None:
    """Everything; raises Violated."""
    world.scheduler.freeze()
    for ledger in LEDGERS[: world.plan.ledgers]:
        books = world.servers.database.books[ledger[:2]]
        check_once(books)
        chunk = chunk_of(ledger.ledger_id, books)
        try:
            check_books(world, ledger, books, chunk)
        except FoundError as error:
            raise Violated("trident verify", f"ledger {ledger.ledger_id} {error.fault}") from None
        check_fates(ledger.ledger_id, books, chunk, (*FATES, *ASKED, *RULED, *OCCURRENCES))
        check_outside(world, ledger, books)
    check_receipts(world)
    check_events(world)
    check_poison(world)


def check_money(world: World) -> None:
    """What must hold even while a stage cannot go on: nothing twice, and balances add up."""
    world.scheduler.freeze()
    for scope, books in world.servers.database.books.items():
        check_once(books)
        versions, chunk = VersionsCheck(), chunk_of(scope[1], books)
        try:
            versions.look(chunk)
            for position, postings in books.postings.items():
                check_legs(position, sorted(postings))
                if position in books.rejections:
                    raise FoundError("it is rejected and posted", position)
            rows = AccountsCheck(versions.running)
            for account in books.accounts.values():
                rows.check(account)
            rows.check_no_more()
        except FoundError as error:
            raise Violated("money", f"ledger {scope[1]} {error.fault}") from None
        check_fates(scope[1], books, chunk, (holds, originals, four_eyes))


def check_once(books: Books) -> None:
    """One row where one belongs."""
    for what, rows in (("rejections", books.rejections), ("keys", books.keys)):
        for name, many in rows.items():
            if len(many) != 1:
                raise Violated("exactly once", f"{len(many)} {what} for {name}")
    if len(books.keys) != len(books.log):
        raise Violated("exactly once", f"{len(books.keys)} keys, {len(books.log)} operations")


def check_books(world: World, ledger: LedgerRef, books: Books, chunk: Chunk) -> None:
    """The checks of `trident verify`; raises FoundError."""
    reached = Progress(*(books.last_position(stage) for stage in ("accept", *STAGES)))
    connection = Connection(world.servers.database, Process("check"))
    connection.session.begin().tenant = ledger.tenant_id
    versions, shifts = VersionsCheck(), ShiftsCheck()
    replay = ReplayCheck(connection.cursor(), ledger, reached)
    LogCheck(ledger).look(chunk)
    PostingsCheck(reached).look(chunk)
    versions.look(chunk)
    replay.look(chunk)
    shifts.look(chunk)
    rows = AccountsCheck(versions.running)
    for account in books.accounts.values():
        rows.check(account)
        replay.check_account(account)
    rows.check_no_more()
    replay.check_no_more_accounts()
    replay.check_pending()
    check_rules(connection.cursor(), ledger, replay.books)
    check_runs(connection.cursor(), ledger, reached)
    shifts.check(connection.cursor(), ledger)
    ChainCheck(connection.cursor(), ledger, reached).check()


def chunk_of(ledger_id: int, books: Books) -> Chunk:
    """The whole log as `trident verify` reads it."""
    logged = [
        Logged(
            Operation(
                ledger_id, row.position, row.kind, row.body, row.accepted_at, row.principal, False
            ),
            row.id,
            books.keys.get(key_hash(row.key), [None])[0],
        )
        for row in books.log
    ]
    rejections = {
        position: Rejection(row.stage, row.code, orjson.loads(row.detail))
        for position, (row, *_) in books.rejections.items()
    }
    postings = {p: sorted(rows) for p, rows in sorted(books.postings.items())}
    decisions = {p: sorted(rows) for p, rows in books.decided.items()}
    return Chunk(0, len(books.log), logged, rejections, postings, decisions)


def check_fates(
    ledger_id: int, books: Books, chunk: Chunk, invariants: Iterable[Invariant]
) -> None:
    """The invariants of the jack hammer about what is decided; raises Violated."""
    stored = [
        Stored(logged.operation, "", row.key)
        for logged, row in zip(chunk.logged, books.log, strict=True)
    ]
    evidence = Evidence("", LedgerRef(0, ledger_id, ""), stored)
    evidence.rejections, evidence.postings = chunk.rejections, chunk.postings
    evidence.decisions, evidence.pending = chunk.decisions, books.pending
    evidence.accounts, evidence.usage = books.accounts, books.usage
    for invariant in invariants:
        finding = invariant(evidence)
        if finding.violations:
            raise Violated(finding.invariant, finding.violations[0].message)


def check_outside(world: World, ledger: LedgerRef, books: Books) -> None:
    """The kept head is one of the blocks, and those who wait were told of the end."""
    kept = world.servers.heads.kept.get(f"{ledger.tenant_id}-{ledger.ledger_id}.json")
    if kept is not None:
        head = json.loads(kept)
        block = books.blocks[head["height"] - 1]
        if (block.last, block.hash.hex()) != (head["last"], head["hash"]):
            raise Violated("heads", f"block {head['height']} is not the one kept outside")
    word = f"{ledger.tenant_id}:{ledger.ledger_id}:{len(books.log)}"
    if books.log and word not in world.servers.database.told:
        raise Violated("notify", f"nobody was told {word}")


def check_receipts(world: World) -> None:
    """What was acknowledged is there, once, with its content, in the order of acknowledgement."""
    reached: dict[tuple[int, int], int] = {}  # by client and ledger
    for group, receipts in world.processes.receipts:
        books = world.servers.database.books[group.ledger[:2]]
        of = group.client, group.ledger.ledger_id
        for submission, receipt in zip(group.submissions, receipts, strict=True):
            (position,) = books.keys.get(key_hash(submission.key), [0])
            row = books.log[position - 1] if position else None
            if isinstance(receipt, Accepted):
                expected = (receipt.position, receipt.id, submission.body.decode())
                if row is None or (position, row.id, row.body) != expected:
                    raise Violated(
                        "what is acknowledged is there",
                        f"{submission.key} was acknowledged at {receipt.position}: {row} is there",
                    )
                if not receipt.replayed:
                    if receipt.position <= reached.get(of, 0):
                        raise Violated(
                            "order", f"{submission.key} at {receipt.position} overtook another"
                        )
                    reached[of] = receipt.position
            elif (
                not isinstance(receipt, Reused)
                or row is None
                or row.body == (submission.body.decode())
            ):
                raise Violated("receipts", f"{submission.key} got {receipt}, and {row} is there")


def check_events(world: World) -> None:
    """Nothing was logged or raised that the plan's faults do not explain."""
    expected = EXPECTED if world.plan.losses_max else set()
    for event in world.processes.events:
        without_memory = event == "group_failed" or event.endswith(" raised MemoryError")
        if without_memory and "memory" in world.plan.faults:
            continue
        if event == "run_failed" and world.plan.poison:
            continue
        if event not in expected:
            raise Violated("no unexpected event", event)


def check_poison(world: World) -> None:
    """Who breaks its run is rejected for it, and nobody else is."""
    for books in world.servers.database.books.values():
        for row in books.log:
            rejected = books.rejections.get(row.position)
            given_up = rejected is not None and rejected[0].code == "internal_error"
            bad = POISON in row.body or KILLER in row.body
            if bad and rejected is None:
                raise Violated("poison is rejected", f"position {row.position} is posted")
            # Where processes die again and again, a sound operation may be taken for poison.
            if given_up and not bad and "kill" not in world.plan.faults:
                raise Violated("no sound operation is given up", f"position {row.position}")
