"""authorize: may the principal that was recorded with the operation do this?"""

from collections.abc import Iterable

import orjson

from pipeline.kinds import kind_of
from pipeline.principal import read_principal, refuse_over_limit
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
    """Roles first, then the limit for one operation that the principal's token carried.

    What an operation takes of its target only the books know: post holds that against the limit.
    """
    kind = kind_of(operation.kind)
    principal = read_principal(operation.principal)
    if kind.roles.isdisjoint(principal.get("roles", ())):
        return refuse("not_permitted", kind=operation.kind, roles=principal.get("roles", []))
    if principal.get("limits"):
        for currency, amount in kind.amounts(orjson.loads(operation.body)).items():
            over = refuse_over_limit(operation.principal, currency, amount)
            if over is not None:
                return over
    return None
