"""What of a record may be written to a file: not what is personal in it."""

from typing import Any

import orjson

from cli.records import Record
from pipeline.kinds.personals import PERSONAL

# Instead of what may hold personal data, and cannot be taken apart.
WITHHELD = "(withheld: it may hold personal data)"


def json_cells(record: Record) -> list[str]:
    """The cells of an NDJSON record; personal data as Trident shows what it does not show."""
    # A name may be spelled with escapes.
    if not any(PERSONAL in cell or "\\u" in cell for cell in record.cells):
        return record.cells
    if record.broken is not None:
        return [WITHHELD for _ in record.cells]
    try:
        return [orjson.dumps(_masked(record.value)).decode()]
    except orjson.JSONEncodeError:
        return [WITHHELD for _ in record.cells]


def csv_cells(record: Record, names: list[str]) -> list[str]:
    """The cells of a CSV record, likewise."""
    if PERSONAL not in names:
        return record.cells
    if len(record.cells) != len(names):
        return [WITHHELD for _ in record.cells]
    return [
        WITHHELD if name == PERSONAL and cell else cell
        for name, cell in zip(names, record.cells, strict=True)
    ]


def _masked(value: Any) -> Any:
    if isinstance(value, list):
        return [_masked(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _sealed(one) if name == PERSONAL else _masked(one) for name, one in value.items()}


def _sealed(value: Any) -> Any:
    subject = value.get("subject") if isinstance(value, dict) else None
    return {"subject": subject, "sealed": True} if isinstance(subject, str) else {"sealed": True}
