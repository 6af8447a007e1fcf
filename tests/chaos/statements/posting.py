"""What `post` sends: accounts, postings and date shifts."""

import datetime as dt

from pipeline.ledger import Account, Posting
from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.statements.arguments import by_ledger, integers, texts, words


def last_numbers(session: Session, given: Parameters) -> Rows:
    """load.LAST_NUMBERS."""
    session.step("post: last account numbers")
    return [
        (ledger, max((a.number for a in session.see(given, ledger).accounts.values()), default=0))
        for ledger in integers(given["ledgers"])
    ]


def load_accounts(session: Session, given: Parameters) -> Rows:
    """load.LOAD_ACCOUNTS."""
    session.step("post: load accounts")
    session.database.hooks.on_post(session.within().bodies)
    pairs = zip(integers(given["ledgers"]), texts(given["codes"]), strict=True)
    return [
        (
            ledger,
            a.number,
            a.code,
            a.type,
            a.currency,
            a.overdraft,
            a.status,
            a.name,
            a.metadata,
            a.debits_posted,
            a.credits_posted,
            a.debits_pending,
            a.credits_pending,
            a.version,
            a.pending_version,
        )
        for ledger, code in pairs
        if (a := session.see(given, ledger).accounts.get(code))
    ]


def insert_accounts(session: Session, given: Parameters) -> None:
    """write.INSERT_ACCOUNTS."""
    session.step("post: open accounts")
    columns = zip(
        integers(given["ledgers"]),
        integers(given["numbers"]),
        texts(given["codes"]),
        words(given["types"]),
        words(given["currencies"]),
        texts(given["overdrafts"]),
        strict=True,
    )
    for ledger, number, code, type_, currency, overdraft in columns:
        tx, books = session.write(given, ledger, "accounts")
        account = Account(number, code, type_, currency, overdraft)
        session.database.guards.account(books, account, new=True)
        tx.accounts[id(books), code] = books, account


def update_accounts(session: Session, given: Parameters) -> None:
    """write.UPDATE_TOTALS and write.UPDATE_ALL."""
    session.step("post: update accounts")
    debits, credits = integers(given["debits"]), integers(given["credits"])
    versions = integers(given["versions"])
    statuses = words(given["statuses"]) if "statuses" in given else None
    overdrafts = texts(given["overdrafts"]) if "overdrafts" in given else None
    layers = [
        integers(given[name]) if name in given else None
        for name in ("debits_pending", "credits_pending", "pending_versions")
    ]
    for ledger, rows in by_ledger(given["ledgers"], enumerate(integers(given["numbers"]))):
        tx, books = session.write(given, ledger, "accounts")
        by_number = {a.number: a for a in books.accounts.values()}
        by_number |= {a.number: a for other, a in tx.accounts.values() if other is books}
        for at, number in rows:
            a = by_number[number]
            changed = Account(
                number,
                a.code,
                a.type,
                a.currency,
                overdrafts[at] if overdrafts else a.overdraft,
                statuses[at] if statuses else a.status,
                a.name,
                a.metadata,
                debits[at],
                credits[at],
                layers[0][at] if layers[0] else a.debits_pending,
                layers[1][at] if layers[1] else a.credits_pending,
                versions[at],
                layers[2][at] if layers[2] else a.pending_version,
            )
            session.database.guards.account(books, changed, new=False)
            tx.accounts[id(books), a.code] = books, changed


def insert_postings(session: Session, given: Parameters) -> None:
    """write.INSERT_POSTINGS."""
    session.step(f"post: insert postings of {given['positions']}")
    columns = zip(
        integers(given["positions"]),
        integers(given["legs"]),
        integers(given["accounts"]),
        integers(given["versions"]),
        (pending == "t" for pending in words(given["pending"])),
        integers(given["amounts"]),
        integers(given["balances"]),
        words(given["currencies"]),
        strict=True,
    )
    for ledger, rows in by_ledger(given["ledgers"], map(Posting._make, columns)):
        tx, books = session.write(given, ledger, "postings")
        session.database.guards.postings(tx, books, rows)
        tx.postings.append((books, rows))


def insert_shifts(session: Session, given: Parameters) -> None:
    """dated.INSERT: rows of zeros, which stand here for no rows; the currency of each."""
    session.step(f"post: begin date shifts of {given['accounts']}")
    _shift(session, given, words(given["currencies"]), *2 * [len(words(given["dates"])) * [0]])


def update_shifts(session: Session, given: Parameters) -> None:
    """dated.UPDATE."""
    session.step(f"post: shift {given['arriving']} and {given['leaving']}")
    arriving, leaving = list(integers(given["arriving"])), list(integers(given["leaving"]))
    _shift(session, given, len(arriving) * [""], arriving, leaving)


def shifts_of(session: Session, given: Parameters) -> Rows:
    """verify.shifts.ROWS."""
    found = session.see(given, given["ledger"]).shifts
    after = given["account"], given["date"].isoformat()
    rows = sorted((key, sums) for key, sums in found.items() if key > after)
    return [(key[0], dt.date.fromisoformat(key[1]), *sums) for key, sums in rows[: given["limit"]]]


def _shift(
    session: Session,
    given: Parameters,
    currencies: list[str],
    arriving: list[int],
    leaving: list[int],
) -> None:
    keys = zip(integers(given["accounts"]), words(given["dates"]), strict=True)
    columns = zip(keys, zip(currencies, arriving, leaving, strict=True), strict=True)
    for ledger, rows in by_ledger(given["ledgers"], columns):
        tx, books = session.write(given, ledger, "shifts")
        tx.shifts += [(books, key, sums) for key, sums in rows]
