"""Two witnesses that look at the database while the faults strike, past the proxy.

The bookkeeper takes snapshots: in each of them the books must be right. The listener writes down
what `notify` announces.
"""

import select
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ

from models.ledger import LedgerRef
from pipeline.notify import CHANNEL
from tests.chaos.clients import FUND
from tests.chaos.contents_rules import ACCOUNTS

SNAPSHOT_EVERY_S = 0.25
RECONNECT_S = 0.2
LISTEN_S = 0.2

SET_TENANT = "SELECT set_config('trident.tenant', %s, false)"
# The books of one ledger: of every account whether it is past its limit, and of its layers (what
# is posted, what is held) balance and version beside the sum and the number of the postings.
BOOKS = """
SELECT a.code, a.credits_posted - a.debits_posted - a.debits_pending < -a.overdraft,
       a.credits_posted - a.debits_posted, a.version,
       coalesce(p.posted, 0), coalesce(p.postings, 0),
       a.credits_pending - a.debits_pending, a.pending_version,
       coalesce(p.held, 0), coalesce(p.holdings, 0), a.currency
  FROM accounts a
  LEFT JOIN (SELECT account,
                    sum(amount) FILTER (WHERE NOT pending) AS posted,
                    count(*) FILTER (WHERE NOT pending) AS postings,
                    sum(amount) FILTER (WHERE pending) AS held,
                    count(*) FILTER (WHERE pending) AS holdings
               FROM postings
              WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s GROUP BY account) p
       ON p.account = a.number
 WHERE a.tenant_id = %(tenant)s AND a.ledger_id = %(ledger)s
"""
# Where a row of BOOKS has the balances of the two layers.
POSTED, HELD = 2, 6
# What the world paid to the customers, credits less debits.
PAID_IN = -FUND * len(ACCOUNTS)
NOTIFIED = "SELECT last_position(%(tenant)s, %(ledger)s, 'notify')"


class Wrong(NamedTuple):
    """A snapshot in which something does not add up."""

    ledger: str
    account: str
    what: str


class _Witness:
    """A thread with a connection of its own, made anew whenever it breaks."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(psycopg2.Error):
                connection = psycopg2.connect(
                    self._url, connect_timeout=2, application_name="chaos"
                )
                try:
                    self._look(connection)
                finally:
                    connection.close()
            self._stop.wait(RECONNECT_S)

    def _look(self, connection: Any) -> None:
        raise NotImplementedError


class Bookkeeper(_Witness):
    """Takes a REPEATABLE READ snapshot of every ledger, again and again."""

    def __init__(self, url: str, ledgers: dict[str, LedgerRef]) -> None:
        super().__init__(url, "chaos-bookkeeper")
        self._ledgers = ledgers
        self.snapshots = 0
        self.wrong: list[Wrong] = []

    def _look(self, connection: Any) -> None:
        connection.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
        while not self._stop.is_set():
            for name, ledger in self._ledgers.items():
                with connection, connection.cursor() as cursor:
                    self.wrong += wrong_books(cursor, name, ledger)
                self.snapshots += 1
            self._stop.wait(SNAPSHOT_EVERY_S)


def wrong_books(cursor: Any, name: str, ledger: LedgerRef) -> list[Wrong]:
    """What does not add up in the books, as the cursor's transaction sees them."""
    cursor.execute(SET_TENANT, (str(ledger.tenant_id),))
    cursor.execute(BOOKS, {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id})
    rows = cursor.fetchall()
    wrong = []
    for code, past_limit, *layers, _currency in rows:
        if past_limit:
            wrong.append(Wrong(name, code, f"with what is held it is under its limit: {layers}"))
        for what, layer in (("posted", layers[:4]), ("held", layers[4:])):
            balance, version, total, postings = layer
            if (balance, version) != (total, postings):
                said = f"{what} {balance} at version {version}, {postings} postings sum to {total}"
                wrong.append(Wrong(name, code, said))
    for currency in {row[-1] for row in rows}:
        same = [row for row in rows if row[-1] == currency]
        for what, of, at, expected in (
            ("all balances", same, POSTED, 0),
            ("what the world paid", [row for row in same if row[0] == "world"], POSTED, PAID_IN),
            ("what is held of and for customers", same, HELD, 0),
        ):
            total = sum(row[at] for row in of)
            if of and total != expected:
                wrong.append(
                    Wrong(name, "", f"{what} in {currency} sum to {total}, not {expected}")
                )
    return wrong


class Heard(NamedTuple):
    """What was heard on one connection: where each ledger was at first, and every word since."""

    covered: dict[int, int]
    words: dict[int, list[int]]

    def of(self, ledger_id: int) -> str:
        """What was heard of one ledger, for who reads a violation."""
        began = self.covered[ledger_id]
        return f"heard {self.words[ledger_id]} on a connection that began at {began}"


class Listener(_Witness):
    """Listens to what notify says. On each connection it first reads how far notify has come."""

    def __init__(self, url: str, ledgers: dict[str, LedgerRef]) -> None:
        super().__init__(url, "chaos-listener")
        self._ledgers = ledgers
        self.heard: list[Heard] = []

    def reached(self, ledgers: Iterable[LedgerRef]) -> int:
        """How many operations of these have gone through all stages, as far as was heard."""
        heard = list(self.heard)
        numbers = [ledger.ledger_id for ledger in ledgers]
        furthest = (
            max((max(one.covered[at], *one.words[at], 0) for one in heard), default=0)
            for at in numbers
        )
        return sum(furthest)

    def _look(self, connection: Any) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
            covered = {}
            for ledger in self._ledgers.values():
                cursor.execute(SET_TENANT, (str(ledger.tenant_id),))
                cursor.execute(NOTIFIED, {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id})
                covered[ledger.ledger_id] = cursor.fetchone()[0]
        heard = Heard(covered, {ledger_id: [] for ledger_id in covered})
        self.heard.append(heard)
        while not self._stop.is_set():
            select.select([connection], [], [], LISTEN_S)
            connection.poll()
            _take(connection, heard)
        # What was committed before the stop may still be on its way: a statement of our own brings
        # along everything that Postgres has for us by now.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        _take(connection, heard)


def _take(connection: Any, heard: Heard) -> None:
    while connection.notifies:
        _tenant, ledger_id, last = map(int, connection.notifies.pop(0).payload.split(":"))
        if ledger_id in heard.words:
            heard.words[ledger_id].append(last)
