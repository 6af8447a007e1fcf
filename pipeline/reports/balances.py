"""The balances of accounts at a moment, any number of them, a bounded number at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.accounts import accounts
from pipeline.ledger import DEBIT_NORMAL, Account
from pipeline.reports.moment import Moment

# Accounts of one query. Each takes some twenty looks at an index: together some 100 ms.
BATCH_ACCOUNTS = 2_000

# For each account the last version whose position is not behind the moment, all accounts halved
# together, and the balance that it left; version 0 is an account without any.
UPTO = """
WITH RECURSIVE halving (number, low, high) AS (
    SELECT number, 0::bigint, version
      FROM unnest(%(numbers)s::integer[], %(versions)s::bigint[]) AS wanted (number, version)
    UNION ALL
    SELECT half.number,
           CASE WHEN probe.position <= %(last)s THEN half.middle ELSE half.low END,
           CASE WHEN probe.position <= %(last)s THEN half.high ELSE half.middle - 1 END
      FROM (SELECT number, low, high, (low + high + 1) / 2 AS middle
              FROM halving WHERE low < high) half
     CROSS JOIN LATERAL (
           SELECT position FROM postings
            WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
              AND account = half.number AND NOT pending AND version = half.middle LIMIT 1) probe
)
SELECT h.number, h.low, coalesce(p.balance_after, 0)
  FROM halving h
  LEFT JOIN LATERAL (
       SELECT balance_after FROM postings
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND account = h.number AND NOT pending AND version = h.low LIMIT 1) p ON true
 WHERE h.low >= h.high
"""

SHIFTED = """
SELECT number, s.net::text
  FROM unnest(%(numbers)s::integer[]) number
 CROSS JOIN LATERAL (
       SELECT sum(arriving) - sum(leaving) AS net FROM date_shifts
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND account = number AND date <= %(date)s OFFSET 0) s
 WHERE s.net IS NOT NULL
"""


class Held(NamedTuple):
    """What an account holds at a moment: credits less debits. `used`: it had postings by then."""

    account: Account
    net: int
    used: bool

    @property
    def balance(self) -> int:
        """On the account's normal side."""
        return -self.net if self.account.type in DEBIT_NORMAL else self.net


def held(
    connection: Connection, ledger: LedgerRef, moment: Moment, *, prefix: str = ""
) -> Iterator[Held]:
    """What the accounts of a prefix hold at the moment, in the order of their codes."""
    found = (a for a in accounts(connection, ledger, prefix=prefix) if is_under(a.code, prefix))
    return at_moment(connection, ledger, moment, found)


def is_under(code: str, prefix: str) -> bool:
    """Whether a code is the prefix or goes on from it, by whole parts; `a:` is all below a."""
    return code.startswith(prefix) and (
        prefix in ("", code) or prefix.endswith(":") or code[len(prefix)] == ":"
    )


def at_moment(
    connection: Connection, ledger: LedgerRef, moment: Moment, wanted: Iterable[Account]
) -> Iterator[Held]:
    """What these accounts hold at the moment, in their order."""
    if moment.last is None:
        for one in wanted:
            yield Held(one, one.credits_posted - one.debits_posted, one.version > 0)
        return
    left = iter(wanted)
    while batch := list(islice(left, BATCH_ACCOUNTS)):
        yield from _at_moment(connection, ledger, moment, batch)


def _at_moment(
    connection: Connection, ledger: LedgerRef, moment: Moment, batch: list[Account]
) -> Iterator[Held]:
    parameters = {
        "tenant": ledger.tenant_id,
        "ledger": ledger.ledger_id,
        "numbers": arrays.integers(one.number for one in batch),
        "versions": arrays.integers(one.version for one in batch),
        "last": moment.last,
        "date": moment.effective,
    }
    rows: Any = connection.exec_driver_sql(UPTO, parameters)
    upto = {number: (version, net) for number, version, net in rows}
    shifted: dict[int, int] = {}
    if moment.effective is not None:
        rows = connection.exec_driver_sql(SHIFTED, parameters)
        shifted = {number: int(net) for number, net in rows}
    for one in batch:
        version, net = upto[one.number]
        yield Held(one, net + shifted.get(one.number, 0), version > 0 or one.number in shifted)
