"""Files that must be whole or absent, and private; and folders that another user must reach."""

import os
import stat
import tempfile
from pathlib import Path


def write_private(path: Path, text: str, *, durable: bool = False) -> None:
    """Write `path` with mode 0600 so that a reader sees the old file or the new one, no mixture.

    `durable`: it is on the disk when we return, and survives a loss of power.
    """
    file, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(file, "w") as new:
            new.write(text)
            if durable:
                new.flush()
                os.fsync(new.fileno())
        os.replace(name, path)
        if durable:
            sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename is not until then."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def open_ways(path: Path) -> list[Path]:
    """Let other users pass through every parent folder of `path`; returns those it had to change.

    Adds only `o+x`: they may go through to a path that they know, and list nothing.
    """
    changed = []
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            changed.append(folder)
    return changed


def make_readable(tree: Path) -> None:
    """Let other users read, and run, what the owner may in `tree` (a strict umask installed it)."""
    for folder, _, names in os.walk(tree):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            mode = stat.S_IMODE(path.stat().st_mode)
            wanted = mode | (mode & (stat.S_IRUSR | stat.S_IXUSR)) >> 6
            if mode != wanted:
                path.chmod(wanted)
