"""The ids of operations: where they stand, and random bits that nobody can guess."""

from models.operation import RANDOM_BITS, Address, address_of, draw, make_id, parse_id, show_id

LEDGER_MAX, POSITION_MAX = 2**31 - 1, 2**40 - 1
DRAWS = 2_000


def test_random_bits_are_drawn_for_each_id() -> None:
    """Ids that are made together share no random bits, and every bit is on in some of them."""
    drawn = draw(DRAWS)
    assert len(set(drawn)) == len(drawn) == DRAWS
    ever_on = ever_off = 0
    for bits in drawn:
        ever_on |= bits
        ever_off |= ~bits
    every_bit = 2**RANDOM_BITS - 1
    assert ever_on == every_bit
    assert ever_off & every_bit == every_bit
    assert draw(0) == []


def test_an_id_says_where_its_operation_stands() -> None:
    """Ledger and position come out of the id again, at the limits of both, whatever was drawn."""
    for drawn in (0, 2**RANDOM_BITS - 1, *draw(3)):
        for address in (Address(1, 1), Address(7, 2**24 + 3), Address(LEDGER_MAX, POSITION_MAX)):
            made = make_id(*address, drawn)
            assert address_of(made) == address
            assert made.version == 8  # RFC 9562 section 5.8
            assert parse_id(show_id(made)) == made
