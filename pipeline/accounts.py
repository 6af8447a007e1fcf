"""The accounts of a ledger as they are, streamed in the order of their codes."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline.ledger import Account

# Rows that a streaming cursor fetches at a time: about 1 MB.
FETCH_ROWS = 5_000

# An Account is its row: the names of its fields are those of the columns. The order is that of the
# bytes, the same on every server.
ACCOUNTS = f"""
SELECT {", ".join(field.name for field in fields(Account))}
  FROM accounts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND (code = %(code)s OR %(code)s IS NULL) AND starts_with(code, %(prefix)s)
 ORDER BY code COLLATE "C"
"""  # noqa: S608 - the names of our own fields


def accounts(
    connection: Connection, ledger: LedgerRef, *, prefix: str = "", code: str | None = None
) -> Iterator[Account]:
    """The accounts whose code begins with `prefix`, or the one whose code is `code`.

    Within the transaction of `connection`; memory stays the same however many there are.
    """
    driver: Any = connection.connection.driver_connection
    # Whoever stops reading leaves the cursor to the end of the transaction, which closes it.
    cursor = driver.cursor(name="accounts")
    cursor.itersize = FETCH_ROWS
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
    cursor.execute(ACCOUNTS, {**scope, "prefix": prefix, "code": code})
    for row in cursor:
        yield Account(*row)
    cursor.close()
