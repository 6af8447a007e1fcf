"""Which kind of file it is, and its statements."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pipeline.reconcile.errors import ReconcileError, unreadable
from pipeline.reconcile.readers import camt, csv_, ofx
from pipeline.reconcile.readers.content import ExternalStatement

FORMATS = ("csv", "camt.053", "ofx")
# Where a file says what it is.
HEAD_BYTES = 2_000
# Over the API; a camt.053 of 30,000 entries is about as large. The command line takes more.
FILE_MAX_BYTES = 32 * 1024 * 1024
LARGE_FILE_MAX_BYTES = 256 * 1024 * 1024


def format_of(data: bytes) -> str:
    """What the file is by its beginning; whatever is neither XML nor OFX is taken for CSV."""
    head = data[:HEAD_BYTES].replace(b"\0", b"")  # of UTF-16
    head = head.removeprefix(b"\xef\xbb\xbf").removeprefix(b"\xff\xfe").lstrip()
    if head.startswith(b"OFXHEADER") or b"<?OFX" in head or b"<OFX" in head:
        return "ofx"
    return "camt.053" if head.startswith(b"<") else "csv"


def read(
    data: bytes,
    *,
    currency: str,
    today: dt.date,
    form: str | None = None,
    mapping: Mapping[str, Any] | None = None,
) -> tuple[str, list[ExternalStatement]]:
    """The format and the statements of the file; raises ReconcileError, or Unreadable."""
    if not data.strip():
        raise unreadable("line 1", "The file is empty.")
    form = form or format_of(data)
    if form == "ofx":
        return form, ofx.read(data, today)
    if form == "camt.053":
        return form, camt.read(data, today)
    if mapping is None:
        raise ReconcileError(
            "unknown_mapping",
            "This looks like CSV: say by which mapping it is to be read. Store one first.",
        )
    return "csv", csv_.read(data, mapping, currency, today)
