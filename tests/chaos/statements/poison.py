"""How a run that dies is remembered: attempts, and the rejections that came of them."""

from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.fake_store import Attempt


def record(session: Session, given: Parameters) -> None:
    """poison.RECORD: a transaction of its own."""
    session.begin().tenant = given["tenant"]
    session.step(f"{given['stage']}: record an attempt")
    attempts = session.see(given, given["ledger"]).attempts
    start = session.database.starts
    row = Attempt(given["stage"], given["first"], given["last"], start)
    session.within().acts.append(lambda: attempts.append(row))
    session.commit()


def forget(session: Session, given: Parameters) -> None:
    """poison.FORGET: a transaction of its own."""
    session.begin().tenant = given["tenant"]
    session.step(f"{given['stage']}: forget an attempt")
    attempts = session.see(given, given["ledger"]).attempts
    wanted = given["stage"], given["first"], given["last"]
    newest = [row for row in attempts if row[:3] == wanted][-1:]
    for row in newest:
        session.lock(("attempt", id(row)))

    def act() -> None:
        attempts[:] = [row for row in attempts if row is not newest[0]]

    if newest:
        session.within().acts.append(act)
    session.commit()


def clear(session: Session, given: Parameters) -> None:
    """poison.CLEAR."""
    session.step(f"{given['stage']}: clear attempts")
    attempts = session.see(given, given["ledger"]).attempts
    name, last = given["stage"], given["last"]
    gone = [row for row in attempts if row.stage == name and row.first <= last]
    for row in gone:
        session.lock(("attempt", id(row)))

    def act() -> None:
        attempts[:] = [row for row in attempts if not any(row is one for one in gone)]

    session.within().acts.append(act)


def failed(session: Session, given: Parameters) -> Rows:
    """poison.FAILED."""
    session.step(f"{given['stage']}: failed attempts")
    wanted = given["stage"], given["first"]
    start = session.database.starts
    rows = session.see(given, given["ledger"]).attempts
    lasts = [row.last for row in rows if row[:2] == wanted and row.start == start]
    return [(min(lasts), lasts.count(min(lasts)))] if lasts else []


def recent_rejections(session: Session, given: Parameters) -> Rows:
    """poison.RECENT_REJECTIONS."""
    session.step(f"{given['stage']}: recent rejections")
    rejections = session.see(given, given["ledger"]).rejections
    recent = range(given["first"] - given["many"], given["first"])
    return [(sum(r.code == "internal_error" for p in recent for r in rejections.get(p, ())),)]


def rejected(session: Session, given: Parameters) -> Rows:
    """poison.REJECTED."""
    session.step(f"{given['stage']}: rejected?")
    return [()] * len(session.see(given, given["ledger"]).rejections.get(given["first"], ()))
