"""CSV cells that are no text, turned into what the API takes.

`amount` and `overdraft` are decimals of the row's currency, `amount_minor` and `overdraft_minor`
integers; `final` is true or false; `metadata` and `personal` are JSON objects.
"""

from collections.abc import Callable
from typing import Any

from pipeline import money
from pipeline.strict_json import JsonError, loads

Members = dict[str, Any]


class BadRow(Exception):
    """The record is no operation: its faults, as (column or member, message)."""

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__(faults)
        self.faults = faults


def convert(members: Members) -> None:
    """Turn the cells that are no text into what the API takes, in place; raises BadRow."""
    for name, convert_cell in CONVERSIONS.items():
        if name in members:
            try:
                convert_cell(members, members.pop(name))
            except (money.MoneyError, JsonError) as error:
                raise BadRow((name, str(error))) from None


def _amount(members: Members, cell: str) -> None:
    members["amount"] = _decimal(members, cell)


def _amount_minor(members: Members, cell: str) -> None:
    _once(members, "amount")
    members["amount"] = _integer(cell)


def _overdraft(members: Members, cell: str) -> None:
    special = {"none": 0, "unlimited": "unlimited"}
    members["overdraft"] = special[cell] if cell in special else _decimal(members, cell)


def _overdraft_minor(members: Members, cell: str) -> None:
    _once(members, "overdraft")
    members["overdraft"] = _integer(cell)


def _metadata(members: Members, cell: str) -> None:
    members["metadata"] = loads(cell)


def _personal(members: Members, cell: str) -> None:
    members["personal"] = loads(cell)


def _final(members: Members, cell: str) -> None:
    members["final"] = {"true": True, "false": False}.get(cell, cell)


def _decimal(members: Members, cell: str) -> int:
    if "currency" not in members:
        raise money.MoneyError("A decimal needs the row's currency; without it, use minor units.")
    return money.read(cell, members["currency"])


def _integer(cell: str) -> int:
    if not cell.isascii() or not cell.isdecimal() or len(cell) > money.DIGITS_MAX:
        raise money.MoneyError(f"{cell[:40]!r} is no integer in minor units.")
    return int(cell)


def _once(members: Members, name: str) -> None:
    if name in members:
        raise money.MoneyError(f"Give {name} or {name}_minor, not both.")


CONVERSIONS: dict[str, Callable[[Members, str], None]] = {
    "amount": _amount,
    "amount_minor": _amount_minor,
    "overdraft": _overdraft,
    "overdraft_minor": _overdraft_minor,
    "final": _final,
    "metadata": _metadata,
    "personal": _personal,
}
