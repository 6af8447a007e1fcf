"""authorize: may the principal that was recorded with the operation do this?"""

from collections.abc import Iterable

import orjson

from pipeline.kinds import kind_of
from pipeline.kinds.kind import Body, nothing_inside
from pipeline.permissions import action_of, permits
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
    principal = read_principal(operation.principal)
    kind = kind_of(operation.kind)
    if kind.inner is not nothing_inside or "limits" in principal:
        return permission_of(operation.kind, orjson.loads(operation.body), operation.principal)
    return refuse_role(operation.kind, operation.principal)


def permission_of(name: str, body: Body, principal: str) -> Refusal | None:
    """What stands against it, and against what it holds."""
    kind = kind_of(name)
    refusal = refuse_role(name, principal)
    for currency, amount in kind.amounts(body).items():
        refusal = refusal or refuse_over_limit(principal, currency, amount)
    if refusal is not None:
        return refusal
    for index, (inner_name, inner_body) in enumerate(kind.inner(body)):
        refusal = permission_of(inner_name, inner_body, principal)
        if refusal is not None:
            return kind.failed(index, inner_name, refusal)
    return None


def refuse_role(name: str, principal: str) -> Refusal | None:
    """Whether the principal's roles, or its scopes, do not let it submit this kind."""
    if permits(principal, action_of(name)):
        return None
    return refuse(
        "not_permitted", kind=name, roles=list(read_principal(principal).get("roles", ()))
    )
