"""The summary: the difference of books and statement, explained to the cent."""

import datetime as dt
import random

import pytest

from tests.reconcile.desk import DAY, Desk, line, statement


def test_nothing_is_nothing(desk: Desk) -> None:
    """Without a statement there is nothing to be said of it."""
    desk.receive(100)
    found = desk.summary()
    assert (found.statements, found.statement_balance_known, found.reconciled) == (0, False, False)
    assert found.books_balance == 100


def test_balances_stand_in_the_statements_sense(desk: Desk) -> None:
    """What came in is +, though the books debit it."""
    desk.receive(1000)
    desk.receive(-300)
    desk.take_in(statement(line(1000), line(-300), opening_balance=0, closing_balance=700))
    desk.match_all()
    found = desk.summary()
    assert (found.books_balance, found.statement_balance, found.difference) == (700, 700, 0)
    assert found.reconciled


def test_what_was_posted_before_the_first_statement_meets_its_opening_balance(desk: Desk) -> None:
    """Postings of before need no lines, as long as they make the opening balance."""
    desk.receive(5000, -40)
    desk.receive(1000)
    desk.take_in(statement(line(1000), opening_balance=5000, closing_balance=6000, from_date=DAY))
    desk.match_all()
    assert desk.summary().reconciled
    desk.receive(1, -20)
    found = desk.summary()
    assert (found.reconciled, found.brought_forward, found.difference) == (False, 1, 1)


def test_what_the_bank_books_later_is_in_transit(desk: Desk) -> None:
    """At the end of a month a match may have one side; the difference is known all the same."""
    desk.receive(1000, 0)
    desk.take_in(statement(line(1000, 3), opening_balance=0, closing_balance=1000, from_date=DAY))
    desk.match_all()
    found = desk.summary(DAY + dt.timedelta(days=1))
    assert (found.difference, found.in_transit, found.unmatched_postings.items) == (1000, 1000, 0)
    assert desk.summary().difference == 0


def test_a_missing_statement_is_seen(desk: Desk) -> None:
    """The next opening balance is not the last closing balance."""
    desk.take_in(statement(line(100), opening_balance=0, closing_balance=100))
    desk.take_in(statement(line(50, 60), opening_balance=400, closing_balance=450))
    found = desk.summary()
    assert (found.missing_statements, found.statement_balance) == (300, 450)
    assert not found.reconciled


def test_what_is_ignored_still_explains(desk: Desk) -> None:
    """Set aside is not gone: its amount is a part of the difference."""
    place = desk.receive(100)
    (number,) = desk.lines(line(7))
    desk.ignore([number], [])
    desk.ignore([], [place])
    found = desk.summary()
    assert (found.ignored_postings.amount, found.ignored_lines.amount) == (100, 7)
    assert found.difference == 93


@pytest.mark.parametrize("seed", range(6))
def test_the_parts_are_the_whole_whatever_happened(desk: Desk, seed: int) -> None:
    """Random postings, statements and matches: on every day the parts sum to the difference."""
    draw = random.Random(seed)
    booked: dict[int, int] = {}
    for _ in range(12):
        day, amount = draw.randrange(30), draw.choice([100, 200, 300, -50])
        desk.receive(amount, day)
        booked[day] = booked.get(day, 0) + amount
    balance = draw.choice([0, 500])
    for week in range(0, 28, 7):
        lines = [
            line(draw.choice([100, 200, 300, -50]), week + draw.randrange(7), bank_id=f"{week}-{n}")
            for n in range(draw.randrange(1, 4))
        ]
        closing = balance + sum(one.amount for one in lines)
        known = draw.random() < 0.8
        start = DAY + dt.timedelta(days=week)
        desk.take_in(
            statement(
                *lines,
                opening_balance=balance if known else None,
                closing_balance=closing if known else None,
                from_date=start,
                to_date=start + dt.timedelta(days=6),
            )
        )
        balance = closing
    desk.match_all()
    for row in desk.lines_of("unmatched")[:1]:
        desk.ignore([row.number], [])
    for day in range(-1, 32):
        found = desk.summary(DAY + dt.timedelta(days=day))
        assert found.explained == found.difference
        assert found.books_balance == sum(n for d, n in booked.items() if d <= day)
