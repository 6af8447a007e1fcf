"""Money as people write it: decimals outside, integers in minor units inside.

    "1250.34" USD  <->  125034        "-0.05" EUR  <->  -5        "1250" JPY  <->  1250

The exponents are those of ISO 4217. There is no float on the way, in either direction.
"""

import re
from decimal import Decimal
from functools import lru_cache

import iso4217

# 2^63 has 19 digits: whatever is longer is no amount, and int() is quadratic in its length.
DIGITS_MAX = 19
DECIMAL_PATTERN = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)


class MoneyError(ValueError):
    """The text is no amount of the currency; the message says why."""


# ISO 4217 lists about 180 codes; files may name any number of others.
@lru_cache(maxsize=1024)
def currency_exponent(code: str) -> int | None:
    """How many decimals the currency has (ISO 4217); None for one that it does not list."""
    try:
        return int(iso4217.Currency(code).exponent or 0)
    except ValueError:
        return None


def show(minor: int, currency: str) -> str:
    """Minor units as a decimal with all decimals of the currency; an unlisted one has none."""
    exponent = currency_exponent(currency) or 0
    if exponent == 0:
        return str(minor)
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    return f"{'-' if minor < 0 else ''}{digits[:-exponent]}.{digits[-exponent:]}"


def grouped(minor: int, currency: str) -> str:
    """The same with thousands apart, as people read amounts: 1,250.34."""
    return f"{Decimal(show(minor, currency)):,}"


def read(text: str, currency: str) -> int:
    """A decimal such as `1250.34` in minor units of the currency; raises MoneyError.

    Fewer decimals than the currency has are fine, more are not, even if they are zeros.
    """
    exponent = currency_exponent(currency)
    if exponent is None:
        raise MoneyError(f"ISO 4217 does not list {currency!r}, so its decimals are unknown.")
    match = DECIMAL_PATTERN.fullmatch(text)
    if match is None:
        raise MoneyError(f"{text[:40]!r} is no decimal such as 1250.34 (no spaces, no commas).")
    sign, units, decimals = match[1], match[2], match[3] or ""
    if len(decimals) > exponent:
        raise MoneyError(f"{text[:40]} has {len(decimals)} decimals; {currency} has {exponent}.")
    digits = units + decimals.ljust(exponent, "0")
    if len(digits) > DIGITS_MAX:
        raise MoneyError(f"{text[:40]} has more than {DIGITS_MAX} digits.")
    return -int(digits) if sign else int(digits)


def divide_half_even(numerator: int, denominator: int) -> int:
    """The quotient, rounded to the nearest integer; halfway to the even one."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (twice > denominator or (twice == denominator and quotient % 2))
