"""What `post` sends about the rules of a ledger: the rules, and how much of a limit is used."""

from pipeline.ledger import Counter
from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.statements.arguments import by_ledger, integers, texts, words


def load_settings(session: Session, given: Parameters) -> Rows:
    """rules.SETTINGS. `verify` gives a list, which psycopg2 would spell as an array."""
    session.step("post: load settings")
    ledgers = given["ledgers"]
    wanted = integers(ledgers) if isinstance(ledgers, str) else ledgers
    found = ((ledger, session.see(given, ledger).settings) for ledger in wanted)
    return [(ledger, *settings) for ledger, settings in found if settings is not None]


def keep_settings(session: Session, given: Parameters) -> None:
    """rules.KEEP_SETTINGS."""
    session.step(f"post: keep rules of {given['positions']}")
    columns = zip(integers(given["positions"]), texts(given["documents"]), strict=True)
    for ledger, rows in by_ledger(given["ledgers"], columns):
        tx, books = session.write(given, ledger, "settings")
        for position, document in rows:
            session.database.guards.settings(tx, books, position)
            tx.settings.append((books, (position, document)))


def load_usage(session: Session, given: Parameters) -> Rows:
    """rules.USAGE."""
    session.step("post: load what is used of limits")
    rows: Rows = []
    for ledger, counters in by_ledger(given["ledgers"], _counters(given)):
        usage = session.see(given, ledger).usage
        rows += [(ledger, *counter, usage[counter]) for counter in counters if counter in usage]
    return rows


def keep_usage(session: Session, given: Parameters) -> None:
    """rules.KEEP_USAGE."""
    session.step(f"post: keep {given['used']} as used of limits")
    columns = zip(_counters(given), integers(given["used"]), strict=True)
    for ledger, rows in by_ledger(given["ledgers"], columns):
        tx, books = session.write(given, ledger, "usage")
        for counter, used in rows:
            session.database.guards.usage(books, counter, used)
            tx.usage.append((books, counter, used))


def kept_usage(session: Session, given: Parameters) -> Rows:
    """verify.rules.USAGE."""
    usage = session.see(given, given["ledger"]).usage
    return [(*counter, used) for counter, used in usage.items()]


def _counters(given: Parameters) -> list[Counter]:
    columns = zip(
        texts(given["names"]),
        integers(given["sinces"]),
        texts(given["accounts"]),
        words(given["periods"]),
        strict=True,
    )
    return list(map(Counter._make, columns))
