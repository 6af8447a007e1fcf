"""What every stage does in a run: fetch operations, reject some, record the run, tell of it."""

from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.fake_store import Rejected
from tests.chaos.statements.arguments import by_ledger, integers, shown, spans, texts, words


def fetch(session: Session, given: Parameters) -> Rows:
    """stage.FETCH."""
    session.step(f"fetch {shown(given)}")
    rows: Rows = []
    for ledger, first, last in spans(given):
        books = session.see(given, ledger)
        size = 0
        for o in books.log[first - 1 : last]:
            size += len(o.body)
            if size > given["bytes"] and o.position > first:
                break
            rejected = o.position in books.rejections
            rows.append((ledger, o.position, o.kind, o.body, o.accepted_at, o.principal, rejected))
    session.within().bodies = [row[3] for row in rows if not row[-1]]
    return rows


def insert_rejections(session: Session, given: Parameters) -> None:
    """stage.INSERT_REJECTIONS."""
    session.step(f"{given['stage']}: reject {given['positions']} of {given['ledgers']}")
    positions = integers(given["positions"])
    columns = zip(positions, words(given["codes"]), texts(given["details"]), strict=True)
    new = ((p, Rejected(given["stage"], code, detail)) for p, code, detail in columns)
    for ledger, rows in by_ledger(given["ledgers"], new):
        tx, books = session.within(), session.see(given, ledger)
        session.database.guards.rejections(tx, books, rows)
        tx.rejections += [(books, *row) for row in rows]


def insert_runs(session: Session, given: Parameters) -> None:
    """stage.INSERT_RUNS."""
    name = given["stage"]
    session.step(f"{name}: runs {shown(given)}")
    for ledger, first, last in spans(given):
        tx, books = session.write(given, ledger, "runs", name)
        session.database.guards.run(tx, books, name, first, last)
        tx.runs.append((books, name, first, last))


def runs_of(session: Session, given: Parameters) -> Rows:
    """verify.runs.RUNS."""
    found = session.see(given, given["ledger"]).runs[given["stage"]]
    return [run for run in found if run[0] > given["after"]][: given["limit"]]


def tell(session: Session, given: Parameters) -> None:
    """notify.TELL: heard when the transaction commits."""
    session.step("notify: tell")
    told = session.database.told
    session.within().acts.append(lambda: told.extend(words(given["words"])))
