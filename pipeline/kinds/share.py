"""Shares in percent, as decimal strings, and what they come to: no float, and no cent gets lost."""

import re
from collections.abc import Sequence
from typing import Any

from marshmallow import ValidationError, fields

from pipeline.kinds.fields import shape
from pipeline.money import divide_half_even

# A third of a million is off by less than a cent: nobody splits finer.
DECIMALS = 6
PATTERN = re.compile(rf"[0-9]{{1,3}}(?:\.[0-9]{{1,{DECIMALS}}})?", re.ASCII)
# One hundred percent, in the unit that all shares are counted in.
WHOLE = 100 * 10**DECIMALS


def parse(share: str) -> int:
    """In millionths of a percent."""
    units, _, decimals = share.partition(".")
    return int(units + decimals.ljust(DECIMALS, "0"))


def check_share(value: Any) -> str:
    """More than 0 and at most 100 percent; as a string, because JSON has no decimals."""
    if not isinstance(value, str) or not PATTERN.fullmatch(value):
        raise ValidationError(
            f'A share is a string with a decimal in percent, such as "2.9", of up to {DECIMALS}'
            " decimals."
        )
    if not 0 < parse(value) <= WHOLE:
        raise ValidationError(f"A share is more than 0 and at most 100 percent; {value} is not.")
    return value


def share(*, required: bool = False) -> fields.Field[Any]:
    """A share in percent."""
    api = {"type": "string", "pattern": f"^{PATTERN.pattern}$", "examples": ["2.9", "33.333333"]}
    return shape(check_share, api, required=required)


def part(amount: int, of: str) -> int:
    """The share of an amount, rounded half to even."""
    return divide_half_even(amount * parse(of), WHOLE)


def apportion(total: int, shares: Sequence[int]) -> list[int]:
    """Amounts that sum to the total, each less than one minor unit from its share.

    The method of the largest remainder: all are rounded down, and what is left goes, one minor unit
    each, to those that lost most; where they lost equally, to the first. Shares sum to WHOLE.
    """
    assert sum(shares) == WHOLE, shares
    amounts = [total * share // WHOLE for share in shares]
    left = total - sum(amounts)
    lost_most = sorted(range(len(shares)), key=lambda n: -(total * shares[n] % WHOLE))
    for place in lost_most[:left]:
        amounts[place] += 1
    return amounts
