"""The stored rows, held against themselves, against a replay, and against what witnesses saw."""

import itertools

from pipeline.authorize import permission
from pipeline.kinds import KINDS
from pipeline.ledger import Account, Books, Effect
from pipeline.perform import entry_of, perform
from pipeline.refusal import Refusal
from pipeline.stage import STAGES
from pipeline.validate import meaning
from pipeline.verify.verify import verify
from tests.chaos.evidence import Evidence, Run, Stored
from tests.chaos.finding import Finding, Key, merged
from tests.chaos.watch import Heard, Listener, Wrong


def check_books(evidence: dict[str, Evidence]) -> list[Finding]:
    """Every invariant about the rows of the ledgers."""
    checks = (outcomes, order, versions, balances, runs, replay, verified)
    return [merged(map(check, evidence.values())) for check in checks]


def outcomes(one: Evidence) -> Finding:
    """A rejection, or at least two postings, or a kind that has none; never two of these."""
    finding = Finding("each operation has exactly one outcome", of="operations")
    for row in one.log:
        position = row.operation.position
        legs = len(one.postings.get(position, []))
        rejected = position in one.rejections
        expected = (0,) if rejected or not KINDS[row.operation.kind].posts else (2,)
        final = one.status(position) != "waiting"
        said = f"position {position} has {legs} postings, rejected: {rejected}, final: {final}"
        finding.look(legs in expected and final, said, _key(one, row))
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
    """Versions 1, 2, 3 ... along each account, and a balance that runs along with them."""
    finding = Finding("account versions have no gaps, and balances run along", of="postings")
    keys = {row.operation.position: _key(one, row) for row in one.log}
    seen: dict[int, tuple[int, int]] = {}
    for position, legs in sorted(one.postings.items()):
        for leg in legs:
            version, balance = seen.get(leg.account, (0, 0))
            expected = version + 1, balance + leg.amount
            said = f"account {leg.account} is at {leg.version, leg.balance_after} at {position}"
            right = (leg.version, leg.balance_after) == expected
            finding.look(right, f"{said}, expected {expected}", *_near(keys, position))
            seen[leg.account] = leg.version, leg.balance_after
    return finding


def balances(one: Evidence) -> Finding:
    """Promise 4: an account's balance is the sum of its postings, and never past its limit."""
    finding = Finding("each balance is the sum of its postings, within its limit", of="accounts")
    for code, account in one.accounts.items():
        legs = [leg for all_ in one.postings.values() for leg in all_]
        total = sum(leg.amount for leg in legs if leg.account == account["number"])
        balance = account["credits_posted"] - account["debits_posted"]
        keys = _last_of(one, code)
        finding.look(balance == total, f"{code} has {balance}, its postings sum to {total}", *keys)
        limited = account["overdraft"] is not None
        within = not limited or balance >= -account["overdraft"]
        finding.look(within, f"{code} has {balance}, which is under its limit", *keys)
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
    """The log, applied to empty books by the pure core, gives these postings and refusals."""
    finding = Finding("a replay of the log gives the same postings and refusals", of="operations")
    books = Books()
    for row in one.log:
        position = row.operation.position
        stored: Effect = one.refusal(position) or one.postings.get(position, [])
        replayed = _effect(books, row)
        said = f"position {position} is stored as {stored}, and a replay gives {replayed}"
        finding.look(stored == replayed, said, _key(one, row))
    for code, account in books.accounts.items():
        found = one.accounts.get(code)
        said = f"a replay gives {account}, stored is {found}"
        finding.look(found is not None and _equal(account, found), said, *_last_of(one, code))
    finding.look(len(books.accounts) == len(one.accounts), "accounts that no operation opened")
    return finding


def _effect(books: Books, row: Stored) -> Effect:
    operation = row.operation
    refusal: Refusal | None = meaning(operation) or permission(operation)
    if refusal is not None:
        return refusal
    return perform(books, entry_of(operation))


def _equal(account: Account, row: dict[str, object]) -> bool:
    return all(getattr(account, name) == row[name] for name in Account.__dataclass_fields__)


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
                said = f"notify committed up to {run.last}, and nobody was told"
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
