"""What operations send that decide others: the targets that they name, decisions, what waits."""

from pipeline.ledger import Decision, Pending
from pipeline.times import parse_time
from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.statements.arguments import by_ledger, integers, texts, words


def targets(session: Session, given: Parameters) -> Rows:
    """load.TARGETS."""
    session.step(f"post: load targets {given['positions']}")
    wanted = zip(
        integers(given["ledgers"]),
        integers(given["positions"]),
        integers(given["befores"]),
        strict=True,
    )
    rows: Rows = []
    for ledger, position, before in wanted:
        tx, books = session.within(), session.see(given, ledger)
        if not 0 < position <= len(books.log):
            continue
        o = books.log[position - 1]
        rejected = position in tx.rejections_of(books)
        pending = books.pending.get(position) or (None,) * len(Pending._fields)
        known = [d for d in tx.decisions_of(books, position) if d.position < before]
        last = known[-1][1:] if known else (None,) * (len(Decision._fields) - 1)
        operation = o.id, o.position, o.kind, o.body, o.accepted_at, o.principal
        rows.append((ledger, *operation, rejected, *pending, *last))
    return rows


def target_legs(session: Session, given: Parameters) -> Rows:
    """load.TARGET_LEGS."""
    session.step(f"post: load what targets {given['positions']} posted")
    rows: Rows = []
    pairs = zip(integers(given["ledgers"]), integers(given["positions"]), strict=True)
    for ledger, position in sorted(pairs):
        tx, books = session.within(), session.see(given, ledger)
        legs = [leg for leg in tx.legs_of(books, position) if not leg.pending]
        codes = {a.number: a.code for a in books.accounts.values()} if legs else {}
        rows += [(ledger, position, codes[leg.account], leg.amount, leg.currency) for leg in legs]
    return rows


def approvers(session: Session, given: Parameters) -> Rows:
    """load.APPROVERS."""
    session.step(f"post: load who approved {given['positions']}")
    wanted = zip(
        integers(given["ledgers"]),
        integers(given["positions"]),
        integers(given["befores"]),
        strict=True,
    )
    rows: Rows = []
    for ledger, position, before in sorted(wanted):
        tx, books = session.within(), session.see(given, ledger)
        known = tx.decisions_of(books, position)
        approvals = (d for d in known if d.effect == "approve" and d.position < before)
        rows += [(ledger, position, approval.actor) for approval in approvals]
    return rows


def insert_decisions(session: Session, given: Parameters) -> None:
    """write.INSERT_DECISIONS: row by row, as its guard looks at them."""
    session.step(f"post: insert decisions about {given['targets']}")
    columns = zip(
        integers(given["targets"]),
        integers(given["numbers"]),
        integers(given["positions"]),
        words(given["effects"]),
        texts(given["amounts"]),
        texts(given["remainings"]),
        (terminal == "t" for terminal in words(given["terminals"])),
        texts(given["actors"]),
        strict=True,
    )
    for ledger, rows in by_ledger(given["ledgers"], map(Decision._make, columns)):
        tx, books = session.write(given, ledger, "decisions")
        for row in sorted(rows):
            session.database.guards.decision(tx, books, row)
            tx.decisions.append((books, row))


def keep_pending(session: Session, given: Parameters) -> None:
    """write.KEEP_PENDING."""
    session.step(f"post: keep {given['targets']} as pending")
    columns = zip(
        integers(given["targets"]),
        words(given["effects"]),
        texts(given["dues"]),
        integers(given["numbers"]),
        strict=True,
    )
    for ledger, rows in by_ledger(given["ledgers"], columns):
        tx, books = session.write(given, ledger, "pending")
        for target, effect, due, number in rows:
            session.database.guards.pending(tx, books, target)
            due_at = None if due is None else parse_time(due)
            tx.pending.append((books, target, Pending(effect, due_at, number)))


def end_pending(session: Session, given: Parameters) -> None:
    """write.END_PENDING."""
    session.step(f"post: {given['targets']} are pending no longer")
    for ledger, rows in by_ledger(given["ledgers"], integers(given["targets"])):
        tx, books = session.write(given, ledger, "pending")
        tx.pending += [(books, target, None) for target in rows]


def kept_pending(session: Session, given: Parameters) -> Rows:
    """verify.replay.PENDING."""
    pending = session.see(given, given["ledger"]).pending
    return [(target, *pending[target]) for target in sorted(pending)]
