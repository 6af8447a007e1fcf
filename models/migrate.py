"""Bring a database to the newest schema, and let the application's roles in."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from psycopg2.extensions import encrypt_password
from sqlalchemy import text

from models import outside
from models.db import make_engine

# One migration at a time, whoever starts it: "trident" as four bytes, "trid".
MIGRATION_LOCK = 0x74726964
# A migration may rewrite a large table: ten minutes, then it is somebody's to look at.
MIGRATION_TIMEOUT_MS = 600_000


def upgrade(owner_url: str) -> list[str]:
    """Run every migration that is missing, as the owner; doing it twice does nothing.

    Returns what is left for a superuser to do, a sentence each.
    """
    engine = make_engine(owner_url, statement_timeout_ms=MIGRATION_TIMEOUT_MS, trusted=True)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        left = outside.shut(connection)
    engine.dispose()
    return left


def let_in(owner_url: str, *, app_password: str, sweeper_password: str) -> None:
    """Let trident_app and trident_sweeper log in with these passwords (the owner's right)."""
    engine = make_engine(owner_url, statement_timeout_ms=MIGRATION_TIMEOUT_MS, trusted=True)
    with engine.begin() as connection:
        raw = connection.connection.driver_connection
        cursor = connection.connection.cursor()
        # Only what proves a password is sent: statements may stand in the server's log.
        for role, password in (
            ("trident_app", app_password),
            ("trident_sweeper", sweeper_password),
        ):
            proof = encrypt_password(password, role, raw, "scram-sha-256")
            cursor.execute(f"ALTER ROLE {role} LOGIN PASSWORD %s", (proof,))
    engine.dispose()
