"""What post keeps of a ledger's rules: read before a run, written after it.

Rules are few and many ledgers have none: those cost one small statement a run.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.ledger import Books, Counter, Entry
from pipeline.limits import period_of
from pipeline.settings import NONE, Settings, document_of, fits, read_settings
from pipeline.stage import Claim, mogrify

SETTINGS = """
SELECT ledger_id, position, document::text AS document FROM ledger_settings
 WHERE tenant_id = %(tenant)s AND ledger_id = ANY(%(ledgers)s::integer[])
"""

USAGE = """
SELECT wanted.ledger, wanted.name, wanted.since, wanted.account, wanted.period, u.used
  FROM unnest(%(ledgers)s::integer[], %(names)s::text[], %(sinces)s::bigint[],
              %(accounts)s::text[], %(periods)s::text[])
       AS wanted (ledger, name, since, account, period)
 CROSS JOIN LATERAL (
       SELECT used FROM limit_usage x
        WHERE x.tenant_id = %(tenant)s AND x.ledger_id = wanted.ledger AND x.name = wanted.name
          AND x.since = wanted.since AND x.account = wanted.account AND x.period = wanted.period
        LIMIT 1) u
"""

KEEP_SETTINGS = """
INSERT INTO ledger_settings (tenant_id, ledger_id, position, document)
SELECT %(tenant)s, ledger, position, document::json
  FROM unnest(%(ledgers)s::integer[], %(positions)s::bigint[], %(documents)s::text[])
       AS new (ledger, position, document)
    ON CONFLICT (tenant_id, ledger_id)
    DO UPDATE SET position = excluded.position, document = excluded.document;
"""

KEEP_USAGE = """
INSERT INTO limit_usage (tenant_id, ledger_id, name, since, account, period, used)
SELECT %(tenant)s, ledger, name, since, account, period, used
  FROM unnest(%(ledgers)s::integer[], %(names)s::text[], %(sinces)s::bigint[],
              %(accounts)s::text[], %(periods)s::text[], %(used)s::bigint[])
       AS new (ledger, name, since, account, period, used)
    ON CONFLICT (tenant_id, ledger_id, name, since, account, period)
    DO UPDATE SET used = excluded.used;
"""


def load_settings(cursor: Any, tenant_id: int, books: dict[int, Books]) -> None:
    """The rules of those ledgers that have any."""
    cursor.execute(SETTINGS, {"tenant": tenant_id, "ledgers": arrays.integers(books)})
    for ledger_id, position, document in cursor.fetchall():
        books[ledger_id].settings = read_settings(position, document)


def read_rules(connection: Connection, ledger: LedgerRef) -> Settings:
    """The rules of one ledger, for somebody who looks."""
    scope = {"tenant": ledger.tenant_id, "ledgers": arrays.integers([ledger.ledger_id])}
    row = connection.exec_driver_sql(SETTINGS, scope).first()
    return NONE if row is None else read_settings(row.position, row.document)


def load_usage(work: Claim, books: dict[int, Books], entries: Sequence[Entry]) -> None:
    """What is used of the limits, for the accounts that are loaded and the times of the entries."""
    wanted = [
        (ledger_id, counter)
        for ledger_id, of_ledger in books.items()
        if of_ledger.settings.limits
        for counter in _counters(of_ledger, [e for e in entries if e.ledger_id == ledger_id])
    ]
    if not wanted:
        return
    work.cursor.execute(USAGE, {"tenant": work.tenant_id, **_columns(wanted)})
    for ledger_id, *counter, used in work.cursor.fetchall():
        books[ledger_id].usage.used[Counter(*counter)] = used


def write_rules(work: Claim, books: dict[int, Books]) -> list[str]:
    """The statements that keep changed settings and what is used of limits."""
    statements = []
    firsts = {span.ledger_id: span.first for span in work.spans}
    changed = [(id_, b.settings) for id_, b in books.items() if b.settings.position >= firsts[id_]]
    if changed:
        columns = {
            "ledgers": arrays.integers(ledger_id for ledger_id, _ in changed),
            "positions": arrays.integers(settings.position for _, settings in changed),
            "documents": arrays.texts(document_of(settings).decode() for _, settings in changed),
        }
        statements.append(mogrify(work, KEEP_SETTINGS, **columns))
    counted = [(id_, counter) for id_, b in books.items() for counter in sorted(b.usage.changed)]
    if counted:
        used = arrays.integers(books[id_].usage.used[counter] for id_, counter in counted)
        statements.append(mogrify(work, KEEP_USAGE, **_columns(counted), used=used))
    return statements


def _counters(books: Books, entries: Sequence[Entry]) -> list[Counter]:
    """Those that the entries may count for; a limit for single operations has none."""
    times = {e.accepted_at.astimezone(dt.UTC).date(): e.accepted_at for e in entries}.values()
    counters = []
    for limit in books.settings.limits.values():
        if limit.per == "operation":
            continue
        codes: Sequence[str] = [""]
        if limit.account is not None:
            codes = [code for code in books.accounts if fits(limit.account, code)]
        for period in {period_of(limit.per, at) for at in times}:
            counters += [Counter(limit.name, limit.since, code, period) for code in codes]
    return counters


def _columns(counters: Sequence[tuple[int, Counter]]) -> dict[str, str]:
    return {
        "ledgers": arrays.integers(ledger_id for ledger_id, _ in counters),
        "names": arrays.texts(c.name for _, c in counters),
        "sinces": arrays.integers(c.since for _, c in counters),
        "accounts": arrays.texts(c.account for _, c in counters),
        "periods": arrays.words(c.period for _, c in counters),
    }
