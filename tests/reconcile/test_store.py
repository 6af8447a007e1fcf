"""Statements in the database: each file once, each line once; matches made and undone."""

import threading

import pytest

from pipeline.reconcile.errors import ReconcileError
from tests.reconcile.desk import DAY, Desk, line, statement


def refused(code: str) -> "pytest.RaisesExc[ReconcileError]":
    """A refusal of this code."""
    return pytest.raises(ReconcileError, check=lambda error: error.code == code)


def test_a_file_is_taken_in_once(desk: Desk) -> None:
    """The same file again changes nothing and gives the same statement."""
    first = desk.take_in(statement(line(100)), data=b"x")
    again = desk.take_in(statement(line(100)), data=b"x")
    assert (first.replayed, again.replayed) == (False, True)
    assert first.statements == again.statements
    assert len(desk.lines_of(None)) == 1


def test_a_line_with_the_same_id_is_taken_once(desk: Desk) -> None:
    """Statements that overlap bring each line once, by the bank's own id."""
    desk.take_in(statement(line(100, bank_id="a"), line(200, 1, bank_id="b")))
    taken = desk.take_in(statement(line(200, 1, bank_id="b"), line(300, 2, bank_id="c")))
    assert (taken.statements[0].lines, taken.statements[0].known_lines) == (1, 1)
    assert [row.amount for row in desk.lines_of(None)] == [100, 200, 300]


def test_one_id_for_a_payment_and_its_fee_is_two_lines(desk: Desk) -> None:
    """Where a bank gives both the same id, none of them is lost."""
    desk.take_in(statement(line(-1000, bank_id="a"), line(-5, bank_id="a")))
    assert [row.amount for row in desk.lines_of(None)] == [-1000, -5]


def test_lines_without_an_id_are_known_by_their_content(desk: Desk) -> None:
    """Two coffees on one day are two lines; the same two in the next export are the same."""
    coffees = [line(-350, description="Coffee"), line(-350, description="Coffee")]
    desk.take_in(statement(*coffees))
    desk.take_in(statement(*coffees, line(-350, 1, description="Coffee")))
    assert [row.booking_date for row in desk.lines_of(None)] == [DAY, DAY, DAY.replace(day=6)]


def test_a_statement_in_another_currency_is_refused(desk: Desk) -> None:
    """And nothing of it is stored."""
    wrong = statement(line(100))
    wrong.currency = "USD"
    with refused("statement_mismatch"):
        desk.take_in(statement(line(100)), wrong)
    assert desk.lines_of(None) == []


def test_a_statement_of_another_external_account_must_be_named(desk: Desk) -> None:
    """The wrong file is noticed; said to be right, it is taken."""
    desk.take_in(statement(line(100), external_account="DE1"))
    other = statement(line(200), external_account="DE2")
    with refused("statement_mismatch"):
        desk.take_in(other)
    assert not desk.take_in(other, external_account="DE2").replayed


def test_of_a_file_of_several_accounts_one_is_chosen(desk: Desk) -> None:
    """Without a choice it is refused; with one, the others are left out."""
    both = (
        statement(line(100), external_account="DE1"),
        statement(line(200), external_account="DE2"),
    )
    with refused("statement_mismatch"):
        desk.take_in(*both)
    with refused("statement_mismatch"):
        desk.take_in(*both, external_account="DE3")
    desk.take_in(*both, external_account="DE2")
    assert [row.amount for row in desk.lines_of(None)] == [200]


def test_of_an_account_in_several_currencies_ours_is_taken(desk: Desk) -> None:
    """Only if its number is said; a file without any statement in our currency stays refused."""
    euros, dollars = (statement(line(n), external_account="DE1") for n in (100, 200))
    dollars.currency = "USD"
    with refused("statement_mismatch"):
        desk.take_in(dollars, euros)
    with refused("statement_mismatch"):
        desk.take_in(dollars, external_account="DE1")
    desk.take_in(dollars, euros, external_account="DE1")
    assert [row.amount for row in desk.lines_of(None)] == [100]


def test_the_rules_match_what_is_stored(desk: Desk) -> None:
    """By key in a reference, by metadata in the text, by amount and date; the rest is left."""
    by_key = desk.receive(1000, key="order-8123")
    by_metadata = desk.receive(2000, metadata={"invoice": "RE-2026-17"})
    by_amount = desk.receive(-300, 2)
    left = desk.receive(50)
    desk.lines(
        line(1000, 20, references=("ORDER 8123",)),
        line(2000, 1, description="Invoice RE-2026-17, thank you"),
        line(-300, 3),
        line(-7),
    )
    assert desk.match_all() == {"reference": 2, "amount_and_date": 1}
    assert desk.postings_of("unmatched") == [left]
    assert set(desk.postings_of("matched")) == {by_key, by_metadata, by_amount}
    assert [row.amount for row in desk.lines_of("unmatched")] == [-7]
    assert desk.match_all() == {}


def test_an_operation_is_found_by_its_id(desk: Desk) -> None:
    """A bank that shows our op_... in capitals names the operation."""
    place = desk.receive(1000)
    from models.operation import show_id  # noqa: PLC0415 - of this test alone

    (row,) = desk.bank.rows(
        "SELECT id FROM operations WHERE ledger_id = :ledger AND position = :at",
        at=place.position,
    )
    desk.lines(line(1000, 60, description=f"PAYMENT {show_id(row[0]).upper()}"))
    assert desk.match_all() == {"reference": 1}


def test_a_match_is_undone_and_made_again(desk: Desk) -> None:
    """Undone, both sides are free; matched again, they are taken again."""
    place = desk.receive(100)
    (number,) = desk.lines(line(100, 30))
    match = desk.match([number], [place])
    with refused("already_matched"):
        desk.match([number], [place])
    desk.undo(match)
    with refused("already_undone"):
        desk.undo(match)
    assert desk.postings_of("unmatched") == [place]
    again = desk.match([number], [place])
    assert again > match
    desk.undo(again)
    assert desk.match([number], [place]) > again


@pytest.mark.parametrize(
    ("lines", "places", "code"),
    [
        ([1], [], "unbalanced_match"),
        ([], ["posting"], "unbalanced_match"),
        ([1], ["posting"], "unbalanced_match"),
        ([9], ["posting"], "unknown_line"),
        ([2], ["nowhere"], "unknown_posting"),
        ([2], ["income"], "unknown_posting"),
    ],
)
def test_what_does_not_fit_is_refused(
    desk: Desk, lines: list[int], places: list[str], code: str
) -> None:
    """Each refusal has its code, and nothing is matched."""
    posting = desk.receive(100)
    desk.lines(line(99), line(100))
    known = {
        "posting": posting,
        "income": posting._replace(leg=1),
        "nowhere": posting._replace(position=99),
    }
    with refused(code):
        desk.match(lines, [known[one] for one in places])
    assert len(desk.lines_of("unmatched")) == 2


def test_what_is_ignored_is_no_longer_unmatched(desk: Desk) -> None:
    """With its reason; one side only, for two sides are a match."""
    place = desk.receive(100)
    (number,) = desk.lines(line(5))
    desk.ignore([number], [], "the bank took it back")
    desk.ignore([], [place])
    assert [row.reason for row in desk.lines_of("ignored")] == ["the bank took it back"]
    assert desk.lines_of("unmatched") == desk.postings_of("unmatched") == []
    with refused("unbalanced_match"):
        desk.ignore([number], [place])


def test_two_who_match_at_once_match_once(desk: Desk) -> None:
    """Twelve threads match the same line with the same posting: one of them does."""
    place = desk.receive(100)
    (number,) = desk.lines(line(100, 30))
    made: list[int] = []
    codes: list[str] = []

    def match() -> None:
        try:
            made.append(desk.match([number], [place]))
        except ReconcileError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=match) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert codes == ["already_matched"] * 11
