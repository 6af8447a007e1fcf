"""FILE.rejected.csv: the rows that were rejected, as they came, each with its code."""

import csv
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from cli.rows import REJECTED, Row

SUFFIX = ".rejected.csv"


class RejectedFile:
    """Written beside while the import runs, and put in its place when it is complete.

    An import that rejects nothing takes away what an earlier one left.
    """

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        """Raises OSError at once where no file could be written, or something else would go."""
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "this is no file: rejected rows go into one", str(path))
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "the rejected rows cannot be written", str(path))
        self.path = path
        self._beside = path.with_name(f"{path.name}.{os.getpid()}.part")
        self._names = [name for name in names if name not in REJECTED]
        self._kept = [n for n, name in enumerate(names) if name not in REJECTED]
        self._file: IO[str] | None = None
        self._writer: Any = None

    def write(self, row: Row, code: str, detail: str) -> None:
        """Add a row and why it was rejected."""
        if self._file is None:
            self._file = self._beside.open("w", newline="", encoding="utf-8")
            self._writer = csv.writer(self._file, lineterminator="\n")
            self._writer.writerow([*self._names, *REJECTED])
        cells = [row.cells[n] for n in self._kept if n < len(row.cells)]
        blank = [""] * (len(self._names) - len(cells))
        self._writer.writerow([*cells, *blank, row.line, code, detail])

    def complete(self) -> Path | None:
        """Everything is in it: where it is now, or None when nothing was rejected."""
        if self._file is None:
            self.path.unlink(missing_ok=True)
            return None
        self._file.close()
        os.replace(self._beside, self.path)
        return self.path

    def discard(self) -> None:
        """The import did not come to its end: the next one writes the file anew."""
        if self._file is not None:
            self._file.close()
            self._beside.unlink(missing_ok=True)
