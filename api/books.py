"""The ledgers that requests name, found once and then remembered."""

import re

from sqlalchemy import Engine

from api.errors import Problem
from api.tokens import Principal
from models.db import tenant_reading
from models.ledger import LedgerRef, find_ledger

# Ledgers are never renamed or deleted, so what was found stays true. About 200 bytes each.
REMEMBERED_MAX = 100_000
# As the table's own CHECK says it. What cannot be a name is not asked for.
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Books:
    """Which ledgers there are, as far as this process has asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[int, str], LedgerRef] = {}

    def find(self, who: Principal, name: str) -> LedgerRef:
        """The ledger of that name, as far as there is one for who asks; raises Problem."""
        tenant_id, visible = who.tenant_id, who.sees(name)
        known = self._known.get((tenant_id, name))
        if known is not None and visible:
            return known
        found = None
        if visible and NAME_PATTERN.fullmatch(name):
            with tenant_reading(tenant_id, self._engine) as connection:
                found = find_ledger(connection, tenant_id, name)
        if found is None:
            raise Problem(
                "unknown_ledger",
                "GET /v1/ledgers lists the ledgers that there are; POST /v1/ledgers makes one.",
                param="ledger",
            )
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[tenant_id, name] = found
        return found
