"""The stored rows, held against themselves, against a replay, and against what witnesses saw."""

import itertools
from collections import Counter

from models.operation import parse_id
from pipeline.authorize import permission
from pipeline.decide import position_of
from pipeline.kinds import KINDS
from pipeline.ledger import Books, Effect, Target
from pipeline.outcome import fault_of
from pipeline.perform import entry_of, perform
from pipeline.refusal import Refusal
from pipeline.stage import STAGES
from pipeline.validate import meaning
from pipeline.verify.verify import verify
from tests.chaos.asked import ASKED
from tests.chaos.evidence import Evidence, Run, Stored
from tests.chaos.fates import FATES
from tests.chaos.finding import Finding, Key, merged
from tests.chaos.occurrences import OCCURRENCES
from tests.chaos.ruled import RULED
from tests.chaos.watch import Heard, Listener, Wrong


def check_books(
    evidence: dict[str, Evidence], events: dict[str, Evidence] | None = None
) -> list[Finding]:
    """Every invariant about the rows of the ledgers, and of those of their events."""
    every = [*evidence.values(), *(events or {}).values()]
    logs = (outcomes, order, versions, balances, runs, replay, verified)
    money = (*FATES, *ASKED, *RULED, *OCCURRENCES)
    return [
        *(merged(map(check, every)) for check in logs),
        *(merged(map(check, evidence.values())) for check in money),
    ]


def outcomes(one: Evidence) -> Finding:
    """A rejection, or postings, or a decision, or a kind that has none of these; never two."""
    finding = Finding("each operation has exactly one outcome", of="operations")
    for row in one.log:
        position = row.operation.position
        fault = fault_of(
            row.operation.kind,
            row.operation.body,
            rejected=position in one.rejections,
            decided=position in one.decisions,
            legs=len(one.postings.get(position, [])),
        )
        final = one.status(position) != "waiting"
        said = f"position {position}: {fault or 'complete'}, final: {final}"
        finding.look(fault is None and final, said, _key(one, row))
    broken = {c.code for c in one.rejections.values()} & {"internal_error"}
    finding.look(
        not broken, "operations were refused as internal_error: nothing was wrong with them"
    )
    return finding


def order(one: Evidence) -> Finding:
    """Promise 3: positions without gaps, times that never run backwards, a key for each."""
    finding = Finding(
        "positions have no gaps, and accepted_at never runs backwards", of="positions"
    )
    for number, row in enumerate(one.log, start=1):
        position = row.operation.position
        finding.look(
            position == number, f"{position} stands where {number} belongs", _key(one, row)
        )
    for before, after in itertools.pairwise(one.log):
        said = f"{after.operation.position} was accepted before {before.operation.position}"
        forwards = before.operation.accepted_at <= after.operation.accepted_at
        finding.look(forwards, said, _key(one, before), _key(one, after))
    positions = [row.operation.position for row in one.log]
    finding.look(one.keys == positions, "idempotency keys and log differ in their positions")
    return finding


def versions(one: Evidence) -> Finding:
    """Versions 1, 2, 3 ... along each layer of each account, and a balance that runs along."""
    finding = Finding("account versions have no gaps, and balances run along", of="postings")
    keys = {row.operation.position: _key(one, row) for row in one.log}
    seen: dict[tuple[int, bool], tuple[int, int]] = {}
    for position, legs in sorted(one.postings.items()):
        for leg in legs:
            layer = leg.account, leg.pending
            version, balance = seen.get(layer, (0, 0))
            expected = version + 1, balance + leg.amount
            said = f"account {leg.account} is at {leg.version, leg.balance_after} at {position}"
            right = (leg.version, leg.balance_after) == expected
            finding.look(right, f"{said}, expected {expected}", *_near(keys, position))
            seen[layer] = leg.version, leg.balance_after
    return finding


def balances(one: Evidence) -> Finding:
    """Promise 4: a balance is the sum of its postings; with what is held, never past its limit."""
    finding = Finding("each balance is the sum of its postings, within its limit", of="accounts")
    sums: Counter[tuple[int, bool]] = Counter()
    for legs in one.postings.values():
        for leg in legs:
            sums[leg.account, leg.pending] += leg.amount
    for code, account in one.accounts.items():
        found = (
            account.credits_posted - account.debits_posted,
            account.credits_pending - account.debits_pending,
        )
        total = sums[account.number, False], sums[account.number, True]
        keys = _last_of(one, code)
        finding.look(found == total, f"{code} has {found}, its postings sum to {total}", *keys)
        within = account.available is None or account.available >= 0
        finding.look(within, f"{code} has {found}, which is under its limit", *keys)
    return finding


def runs(one: Evidence) -> Finding:
    """For each stage the runs cover the log without gap or overlap."""
    finding = Finding("the runs of each stage cover the log, without gap or overlap", of="runs")
    keys = {row.operation.position: _key(one, row) for row in one.log}
    for stage in STAGES:
        end = 0
        for run in one.runs.get(stage, []):
            said = f"{stage} has a run from {run.first} to {run.last} after one that ends at {end}"
            joins = run.first == end + 1 and run.last >= run.first
            finding.look(joins, said, *_near(keys, end + 1))
            end = run.last
        said = f"{stage} has come to {end} of {len(one.log)} operations"
        finding.look(end == len(one.log), said, *_near(keys, end + 1))
    return finding


def replay(one: Evidence) -> Finding:
    """The log, applied to empty books by the pure core, gives these rows and no others."""
    finding = Finding("a replay of the log gives the same postings and refusals", of="operations")
    books = Books(targets=_named(one))
    for row in one.log:
        position = row.operation.position
        effect: Effect = one.refusal(position) or one.postings.get(position, [])
        stored = effect, one.decisions.get(position, [])
        replayed = _effect(books, row), sorted(books.decisions)
        books.decisions.clear()
        said = f"position {position} is stored as {stored}, and a replay gives {replayed}"
        finding.look(stored == replayed, said, _key(one, row))
    for code, account in books.accounts.items():
        found = one.accounts.get(code)
        said = f"a replay gives {account}, stored is {found}"
        finding.look(found == account, said, *_last_of(one, code))
    finding.look(len(books.accounts) == len(one.accounts), "accounts that no operation opened")
    waiting = {at: pending for at, pending in books.pending.items() if pending is not None}
    said = f"a replay leaves {waiting} pending, stored is {one.pending}"
    finding.look(waiting == one.pending, said)
    return finding


def _named(one: Evidence) -> dict[int, Target]:
    """Every operation that others name, before anything comes of it: what does, the core notes."""
    rows = {row.operation.position: row for row in one.log}
    targets = {}
    for row in one.log:
        entry = entry_of(row.operation)
        for shown in KINDS[entry.kind].targets(entry.body):
            named = rows.get(position_of(parse_id(shown), entry.ledger_id) or 0)
            id_ = None if named is None else parse_id(named.id)
            if named is not None and id_ is not None:
                target = Target(id_, entry_of(named.operation))
                targets[named.operation.position] = target
    return targets


def _effect(books: Books, row: Stored) -> Effect:
    operation = row.operation
    refusal: Refusal | None = meaning(operation) or permission(operation)
    if refusal is None:
        return perform(books, entry_of(operation))
    if operation.position in books.targets:
        books.targets[operation.position].rejected = True
    return refusal


def verified(one: Evidence) -> Finding:
    """`trident verify` finds nothing, and has the head that was kept outside."""
    finding = Finding("`trident verify` proves the ledger, with its outside head", of="checks")
    keys = {row.operation.position: _key(one, row) for row in one.log}
    for check in verify(one.ledger):
        fault = check.fault
        where = _near(keys, fault.position) if fault and fault.position else ()
        finding.look(fault is None, f"{check.check}: {fault}", *where)
        finding.look(check.made, f"{check.check} was not made: {check.examined}")
    return finding


def notified(one: Evidence, listener: Listener) -> Finding:
    """Promise 10: each notify run was announced, or covered by a look when listening began."""
    finding = Finding("every operation was announced to a listener", of="notify runs")
    keys = {row.operation.position: _key(one, row) for row in one.log}
    number = one.ledger.ledger_id
    for at, heard in enumerate(listener.heard):
        last = at == len(listener.heard) - 1
        for run in one.runs.get("notify", []):
            if _owed(run, heard, number, last):
                said = f"notify committed up to {run.last}, and nobody was told: {heard.of(number)}"
                finding.look(run.last in heard.words[number], said, *_near(keys, run.last))
    return finding


def _owed(run: Run, heard: Heard, number: int, last: bool) -> bool:
    """Whether this connection should have heard of the run: Postgres keeps the order of commits."""
    words = heard.words[number]
    return heard.covered[number] < run.last and (last or (bool(words) and run.last <= max(words)))


def snapshots(wrong: list[Wrong], count: int, evidence: dict[str, Evidence]) -> Finding:
    """In each snapshot that was taken during the run the books were right."""
    finding = Finding("sums are constant in every snapshot, within all limits", of="snapshots")
    for one in wrong:
        keys = _last_of(evidence[one.ledger], one.account) if one.account else ()
        finding.look(False, f"{one.ledger} {one.account}: {one.what}", *keys)
    finding.examined = count
    return finding


# How many operations of an account, or around a position, a violation shows.
SHOWN = 3


def _key(one: Evidence, row: Stored) -> Key:
    return one.tenant, row.key


def _near(keys: dict[int, Key], position: int) -> tuple[Key, ...]:
    """The operations at this position and just before."""
    around = range(position - SHOWN + 1, position + 1)
    return tuple(keys[number] for number in around if number in keys)


def _last_of(one: Evidence, code: str) -> tuple[Key, ...]:
    """The last operations that name the account."""
    touching = [row for row in one.log if code in row.operation.body]
    return tuple(_key(one, row) for row in touching[-SHOWN:])
