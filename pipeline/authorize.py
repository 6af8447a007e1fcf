"""authorize: may the principal that was recorded with the operation do this?"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson

from pipeline.kinds import kind_of
from pipeline.refusal import Refusal, refuse
from pipeline.stage import Operation, Refused


def judge(these: Iterable[Operation]) -> list[Refused]:
    """Those, among what nobody has refused, that their principal may not do."""
    return [
        (operation.ledger_id, operation.position, refusal)
        for operation in these
        if not operation.rejected and (refusal := permission(operation)) is not None
    ]


def permission(operation: Operation) -> Refusal | None:
    """Roles first, then the limit for one operation that the principal's token carried."""
    kind = kind_of(operation.kind)
    principal = read_principal(operation.principal)
    if kind.roles.isdisjoint(principal.get("roles", ())):
        return refuse("not_permitted", kind=operation.kind, roles=principal.get("roles", []))
    limits = principal.get("limits")
    if limits:
        for currency, amount in kind.amounts(orjson.loads(operation.body)).items():
            if amount > limits.get(currency, 0):
                return refuse(
                    "limit_exceeded", currency=currency, amount=amount, limit=limits.get(currency)
                )
    return None


# A process meets few principals, again and again.
@lru_cache(maxsize=1024)
def read_principal(text: str) -> dict[str, Any]:
    """The principal recorded with an operation: sub, roles, and limits by currency if it has any.

    A currency that `limits` does not name is one that the principal may not move.
    """
    principal: dict[str, Any] = orjson.loads(text)
    return principal
