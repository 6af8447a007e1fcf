"""Decimals of a currency and minor units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.printing import grouped
from pipeline import money

CURRENCIES = {"JPY": 0, "USD": 2, "CZK": 2, "BHD": 3, "CLF": 4}


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1250.34", "USD", 125034),
        ("1250.3", "USD", 125030),
        ("1250", "USD", 125000),
        ("0.05", "EUR", 5),
        ("-0.05", "EUR", -5),
        ("007.00", "EUR", 700),
        ("1250", "JPY", 1250),
        ("0.001", "BHD", 1),
        ("92233720368547758.07", "USD", 2**63 - 1),
    ],
)
def test_a_decimal_is_read_by_its_currency(text: str, currency: str, minor: int) -> None:
    """The number of decimals is the currency's, and missing ones are zeros."""
    assert money.read(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "why"),
    [
        ("12.345", "USD", "has 3 decimals; USD has 2"),
        ("12.500", "USD", "has 3 decimals; USD has 2"),
        ("12.0", "JPY", "has 1 decimals; JPY has 0"),
        ("1,250.34", "USD", "no decimal"),
        ("1250,34", "CZK", "no decimal"),
        (" 12", "USD", "no decimal"),
        ("+12", "USD", "no decimal"),
        ("12.", "USD", "no decimal"),
        (".5", "USD", "no decimal"),
        ("1e3", "USD", "no decimal"),
        ("NaN", "USD", "no decimal"),
        ("", "USD", "no decimal"),
        ("١٢", "USD", "no decimal"),
        ("9" * 5000, "USD", "more than 19 digits"),
        ("1.00", "XYZ", "does not list"),
    ],
)
def test_what_is_no_amount_is_said_to_be_none(text: str, currency: str, why: str) -> None:
    """Nothing is rounded, guessed or repaired."""
    with pytest.raises(money.MoneyError, match=why):
        money.read(text, currency)


@given(st.integers(-(10**18), 10**18), st.sampled_from(sorted(CURRENCIES)))
def test_what_is_shown_is_read_back(minor: int, currency: str) -> None:
    """Showing and reading are inverse, and all decimals of the currency are shown."""
    shown = money.show(minor, currency)
    assert money.read(shown, currency) == minor
    assert len(shown.partition(".")[2]) == CURRENCIES[currency]


@pytest.mark.parametrize(
    ("decimal", "shown"),
    [("1250.34", "1,250.34"), ("-1234567.00", "-1,234,567.00"), ("-0.05", "-0.05"), ("0", "0")],
)
def test_thousands_stand_apart_for_people(decimal: str, shown: str) -> None:
    """Sign and decimals stay as they are."""
    assert grouped(decimal) == shown
