"""The passwords of the embedded stack: generated once, kept in secrets.json (0600)."""

import json
import secrets
from pathlib import Path

from cli.stack.files import write_private

# 256 bits each: nobody guesses that.
SECRET_BYTES = 32

NAMES = (
    "postgres",  # the superuser: makes the owner and the database, nothing else
    "trident_owner",
    "trident_app",
    "trident_sweeper",
    "valkey",
    "flower",
    "flower_cookie",
)


def load(path: Path) -> dict[str, str]:
    """The secrets in `path`; those that are missing are made and stored first."""
    try:
        known: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        known = {}
    missing = [name for name in NAMES if name not in known]
    if missing:
        # URL-safe characters: the passwords stand in connection URLs.
        known |= {name: secrets.token_urlsafe(SECRET_BYTES) for name in missing}
        write_private(path, json.dumps(known, indent=2), durable=True)
    return known
