"""What is left of a person who is erased: a row that opens for nobody, and no way in."""

from sqlalchemy import Connection, text

from pipeline.identity.people import subject_of
from pipeline.identity.sessions import revoke_all

# The e-mail address may belong to somebody new from now on.
ERASE = text("""
    UPDATE people SET status = 'erased', email_hash = NULL, name = NULL, password_hash = NULL,
           totp_secret = NULL, totp_new = NULL, recovery_codes = '{}', version = version + 1
     WHERE tenant_id = :tenant AND person_id = :person
""")
PERSON = subject_of("")


def erase(connection: Connection, tenant_id: int, subject: str) -> None:
    """If the subject is a person: nobody signs in as that one any more, and the sessions end."""
    if subject.startswith(PERSON):
        person_id = subject.removeprefix(PERSON)
        revoke_all(connection, tenant_id, person_id, "erased")
        connection.execute(ERASE, {"tenant": tenant_id, "person": person_id})
