"""Who has work waiting, and who takes it: progress is read, and locks are tried."""

from collections.abc import Iterable

from pipeline import stage, through
from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.statements.arguments import integers

# Switch points between the look at the first of many ledgers and the tries for its locks: there is
# time for another's whole run.
LOOKING = 6


def look_and_lock(session: Session, given: Parameters) -> Rows:
    """stage.LOOK_AND_LOCK: the look and the tries are one statement, the reading is the next."""
    name, before = given["stage"], given["before"]
    tx = session.begin()
    tx.tenant = given["tenant"]
    ledgers = integers(given["ledgers"])
    session.step(f"{name}: look at {given['ledgers']}")
    taken = []
    for ledger in waiting_for(session, given, ledgers):
        session.step(f"{name}: try to lock {ledger}")
        if session.try_lock((given["lock"], ledger)):
            taken.append(ledger)
    session.step(f"{name}: read progress of {taken}")
    seen = [(ledger, session.see(given, ledger)) for ledger in taken]
    return [(id_, books.last_position(name), books.last_position(before)) for id_, books in seen]


def waiting_for(session: Session, given: Parameters, ledgers: Iterable[int]) -> list[int]:
    """The ledgers at which the stage before is ahead, all seen at one moment."""
    seen = [(ledger, session.see(given, ledger)) for ledger in ledgers]
    return [
        ledger
        for ledger, books in seen
        if books.last_position(given["before"]) > books.last_position(given["stage"])
    ]


def lock_next(session: Session, given: Parameters) -> Rows:
    """judge.LOCK_NEXT: a second stage's lock at the ledgers of a claim."""
    locked = 0
    for ledger in integers(given["ledgers"]):
        session.step(f"judge: try to lock {given['next']} of {ledger}")
        locked += session.try_lock((given["lock"], ledger))
    return [(locked,)]


def stands_beside(session: Session, given: Parameters) -> Rows:
    """judge.STANDS_BESIDE: whether the second stage has come as far as the claim's."""
    session.step(f"judge: read progress of {given['next']}")
    firsts = zip(integers(given["ledgers"]), integers(given["firsts"]), strict=True)
    return [
        (
            all(
                session.see(given, ledger).last_position(given["next"]) == first - 1
                for ledger, first in firsts
            ),
        )
    ]


def through_look(session: Session, given: Parameters) -> Rows:
    """through.BEGIN, LOOK_AND_LOCK and READ: what is locked was seen before, and is read anew."""
    session.begin().tenant = given["tenant"]
    session.step(f"through: look at {given['ledgers']}")
    session.check_prepared(through.LOOK_AND_LOCK.execute)
    looked = [(id_, lasts(session, given, id_)) for id_ in integers(given["ledgers"])]
    waiting, left = [], []
    for ledger, (accepted, validated, notified) in looked:
        if validated != notified or accepted - validated > given["few"]:
            left.append(ledger)
        elif accepted > validated:
            waiting.append(ledger)
    for _ in range(LOOKING if waiting else 0):
        session.step("through: still looking")
    taken: list[int] = []
    for ledger in waiting:
        if try_stage(session, ledger, stage.STAGES[0]):
            all_five = all(try_stage(session, ledger, name) for name in stage.STAGES[1:])
            (taken if all_five else left).append(ledger)
    session.step(f"through: read progress of {taken} and {left}")
    session.check_prepared(through.READ.execute)
    tried = [(ledger, True) for ledger in taken] + [(ledger, False) for ledger in left]
    return [(id_, locked, *lasts(session, given, id_)) for id_, locked in tried]


def lasts(session: Session, given: Parameters, ledger: int) -> list[int]:
    """through.LAST of one ledger."""
    books = session.see(given, ledger)
    return [books.last_position(name) for name in ("accept", "validate", "notify")]


def try_stage(session: Session, ledger: int, name: str) -> bool:
    """One of the five tries."""
    session.step(f"through: try to lock {name} of {ledger}")
    return session.try_lock((stage.LOCKS[name], ledger))


def lagging(session: Session, _: Parameters) -> Rows:
    """sweep.LAGGING, under the role that sees the progress of all tenants."""
    session.step("sweep: who lags")
    rows = []
    for scope, books in session.database.books.items():
        ends = [books.last_position(name) for name in ("accept", *stage.STAGES)]
        if ends[0] > ends[-1]:
            rows.append((*scope, session.database.names[scope], *ends))
    return rows
