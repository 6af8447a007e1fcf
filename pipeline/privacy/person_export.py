"""What is held of one of the tenant's people: opened for the export. Secrets are left out."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from models.api_key import show_id
from pipeline.identity.erasure import PERSON
from pipeline.identity.people import unseal
from pipeline.privacy.data_keys import DataKey

# Every column is listed here, or in tests/privacy/test_exported.py with why it is not.
PEOPLE = text("""
    SELECT person_id, email, name, roles, status, status_since, restricted, created_at,
           totp_secret IS NOT NULL AS second_factor, cardinality(recovery_codes) AS recovery_codes,
           failures, locked_until
      FROM people WHERE tenant_id = :tenant AND person_id = :person
""")
SESSIONS = text("""
    SELECT session_id, created_at, used_at, expires_at, revoked_at, why, address, agent
      FROM sessions WHERE tenant_id = :tenant AND person_id = :person
     ORDER BY created_at, session_id
""")
TICKETS = text("""
    SELECT purpose, made_by, created_at, expires_at, used_at
      FROM tickets WHERE tenant_id = :tenant AND person_id = :person
     ORDER BY created_at
""")
MAILS = text("""
    SELECT purpose, made_by, made_at, until_at, attempts, next_at, outcome, ended_at
      FROM mails WHERE tenant_id = :tenant AND person_id = :person
     ORDER BY made_at
""")
API_KEYS = text("""
    SELECT key_id, name, roles, scopes, ledgers, limits, expires_at, created_by, created_at,
           last_used_at, revoked_at
      FROM api_keys
     WHERE tenant_id = :tenant AND (created_by = :subject OR :subject = ANY(known_to))
     ORDER BY created_at, key_id
""")


def parts(
    connection: Connection, tenant_id: int, subject: str, key: DataKey
) -> dict[str, Iterator[dict[str, Any]]]:
    """By the member of the export what stands there; none of it of a subject that is no person.

    Raises TamperedError as it is read.
    """
    named = {"tenant": tenant_id, "person": subject.removeprefix(PERSON), "subject": subject}
    if not subject.startswith(PERSON):
        return {
            name: iter(()) for name in ("people", "sessions", "invitations", "mails", "api_keys")
        }

    def read(statement: Any, place: str, row_id: str, sealed: tuple[str, ...]) -> Any:
        for row in connection.execute(statement, named):
            opened = {
                one: unseal(key, tenant_id, f"{place}.{one}", row._mapping[row_id], value).decode()
                for one in sealed
                if (value := row._mapping[one]) is not None
            }
            yield {**row._mapping, **opened}

    def api_keys() -> Iterator[dict[str, Any]]:
        for row in connection.execute(API_KEYS, named):
            shown = dict(row._mapping)
            yield {"id": show_id(shown.pop("key_id")), **shown}

    return {
        "people": read(PEOPLE, "people", "person_id", ("email", "name")),
        "sessions": read(SESSIONS, "sessions", "session_id", ("address", "agent")),
        "invitations": read(TICKETS, "tickets", "", ()),
        "mails": read(MAILS, "mails", "", ()),
        "api_keys": api_keys(),
    }
