"""Tokens that no session stands behind: that one was made is told, and one is ended for good."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from pipeline.events import Event, Recorded, record

REVOKE = text("""
    INSERT INTO revoked_tokens (tenant_id, token_id) VALUES (:tenant, :token)
    ON CONFLICT DO NOTHING
""")
# Of what a token says, what its event tells; the token itself is never written down.
TOLD = ("roles", "limits", "scopes", "ledgers")


def tell_made(
    connection: Connection, tenant_id: int, claims: Mapping[str, Any], actor: str
) -> Recorded:
    """A token of these claims is handed out when this is committed."""
    detail = {name: claims[name] for name in TOLD if name in claims}
    detail |= {"subject": claims["sub"], "expires_at": claims["exp"].isoformat(timespec="seconds")}
    event = Event("token.created", actor, target=_target(claims["jti"]), detail=detail)
    return record(connection, tenant_id, event)


def revoke(connection: Connection, tenant_id: int, token_id: str, actor: str) -> Recorded | None:
    """The token of this id (`jti`) counts no more, whoever has it; None if that is so already."""
    ended = connection.execute(REVOKE, {"tenant": tenant_id, "token": token_id})
    if not ended.rowcount:
        return None
    return record(connection, tenant_id, Event("token.revoked", actor, target=_target(token_id)))


def _target(token_id: str) -> str:
    return f"token:{token_id}"
