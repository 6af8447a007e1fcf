"""Reversals: the opposite postings, in parts, and never more than there was."""

from typing import Any

import pytest

from models.db import tenant_reading
from models.operation import show_id
from pipeline.ledger import Books, Entry
from pipeline.load import load_targets
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from tests.bank import Bank, transfer
from tests.pipeline.test_holds import decisions, proves, totals


@pytest.fixture
def shop(bank: Bank) -> Bank:
    """A customer with 100.00 EUR and a merchant."""
    bank.fund("customer", 10_000)
    bank.open("merchant")
    bank.open("fees", type="income")
    bank.work()
    return bank


def reverse(bank: Bank, target: Accepted, **more: Any) -> Accepted:
    """All of it, or `amount`."""
    return bank.submit("reversal", {"target": show_id(target.id), **more})


def test_a_whole_reversal(shop: Bank) -> None:
    """Everything goes back; there is nothing left to give back a second time."""
    paid = shop.transfer("customer", "merchant", 4_000)
    back, again = reverse(shop, paid), reverse(shop, paid)
    shop.work()
    assert [shop.rejection(one) for one in (back, again)] == [None, "already_reversed"]
    assert totals(shop, "customer") == (10_000, 0, 0)
    assert totals(shop, "merchant") == (0, 0, 0)
    assert decisions(shop, paid) == [("reverse", 4_000, 0, True)]
    assert shop.status(paid) == "posted"
    proves(shop)


def test_partial_reversals_until_the_original_is_used_up(shop: Bank) -> None:
    """Parts over many runs; what is more than is left is refused, and nothing moves."""
    paid = shop.transfer("customer", "merchant", 4_000)
    outcomes = []
    for amount in (1_000, 2_500, 501):
        outcomes.append(shop.rejection(_worked(shop, reverse(shop, paid, amount=amount))))
    assert outcomes == [None, None, "amount_exceeds_original"]
    assert totals(shop, "customer") == (9_500, 0, 0)
    rest = _worked(shop, reverse(shop, paid))
    assert shop.rejection(rest) is None
    assert totals(shop, "customer") == (10_000, 0, 0)
    assert [row[2] for row in decisions(shop, paid)] == [3_000, 500, 0]
    proves(shop)


def test_a_capture_is_refunded(shop: Bank) -> None:
    """What was captured goes back to whom it was held of, in parts too."""
    held = shop.submit("hold", transfer("customer", "merchant", 5_000))
    taken = shop.submit("capture", {"target": show_id(held.id), "amount": 3_000, "final": True})
    back = reverse(shop, taken, amount=1_200)
    shop.work()
    assert shop.rejection(back) is None
    assert totals(shop, "customer") == (8_200, 0, 0)
    unposted = _worked(shop, reverse(shop, held))
    assert shop.rejection(unposted) == "nothing_to_reverse"
    proves(shop)


def test_a_journal_is_given_back_as_a_whole(shop: Bank) -> None:
    """Three legs cannot be divided; together they can go back, once."""
    legs = [
        {"account": code, "direction": side, "amount": amount, "currency": "EUR"}
        for code, side, amount in (
            ("customer", "debit", 1_000),
            ("merchant", "credit", 970),
            ("fees", "credit", 30),
        )
    ]
    booked = shop.submit("journal", {"legs": legs})
    part, whole, again = (
        reverse(shop, booked, amount=500),
        reverse(shop, booked),
        reverse(shop, booked),
    )
    shop.work()
    found = [shop.rejection(one) for one in (part, whole, again)]
    assert found == ["reversal_not_divisible", None, "already_reversed"]
    assert totals(shop, "fees") == (0, 0, 0)
    proves(shop)


def test_what_cannot_be_reversed(shop: Bank) -> None:
    """A reversal, an opening, a rejected payment; and money that has been spent since."""
    paid = shop.transfer("customer", "merchant", 4_000)
    back = reverse(shop, paid, amount=1_000)
    opened = shop.open("other")
    poor = shop.transfer("other", "merchant", 1)
    spent = shop.transfer("merchant", "customer", 2_500)
    cases = [reverse(shop, one) for one in (back, opened, poor, paid)]
    shop.work()
    assert shop.rejection(spent) is None
    assert [shop.rejection(one) for one in cases] == [
        "reversal_of_reversal",
        "nothing_to_reverse",
        "target_rejected",
        "insufficient_funds",
    ]
    assert totals(shop, "merchant") == (500, 0, 0)
    proves(shop)


def test_a_limited_token_gives_no_more_back(shop: Bank) -> None:
    """Its limit for one operation holds for what goes back, too."""
    limited = canonical({"roles": ["submitter"], "sub": "till", "limits": {"EUR": 100}})
    paid = shop.transfer("customer", "merchant", 4_000)
    body = {"target": show_id(paid.id)}
    whole = shop.submit("reversal", body, principal=limited)
    part = shop.submit("reversal", {**body, "amount": 100}, principal=limited)
    shop.work()
    assert [shop.rejection(one) for one in (whole, part)] == ["limit_exceeded", None]


def test_a_limited_token_gives_back_no_more_with_many_legs(shop: Bank) -> None:
    """What all legs of a currency give back together counts, as when they were posted."""
    limited = canonical({"roles": ["submitter"], "sub": "till", "limits": {"EUR": 199}})
    legs = [
        {"account": account, "direction": direction, "amount": 100, "currency": "EUR"}
        for account, direction in (("customer", "debit"), ("merchant", "credit")) * 2
    ]
    paid = shop.submit("journal", {"legs": legs})
    back = shop.submit("reversal", {"target": show_id(paid.id)}, principal=limited)
    alike = shop.submit("journal", {"legs": legs}, principal=limited)
    shop.work()
    assert [shop.rejection(one) for one in (paid, back, alike)] == [None, *["limit_exceeded"] * 2]
    assert totals(shop, "merchant") == (200, 0, 0)


def _worked(shop: Bank, accepted: Accepted) -> Accepted:
    shop.work()
    return accepted


def test_a_chain_of_refusals_is_not_followed(shop: Bank) -> None:
    """However many reversals name each other: of what was refused nobody asks what it named."""
    link = shop.transfer("customer", "merchant", 1)
    for _ in range(5):
        link = _worked(shop, reverse(shop, link))
    last = reverse(shop, link)
    entry = Entry(
        shop.ledger.ledger_id,
        last.position,
        "reversal",
        {"target": show_id(link.id)},
        last.accepted_at,
        "{}",
    )
    books = {shop.ledger.ledger_id: Books()}
    with tenant_reading(shop.ledger.tenant_id) as connection:
        cursor = connection.connection.cursor()
        firsts = {shop.ledger.ledger_id: last.position}
        load_targets(cursor, shop.ledger.tenant_id, books, [entry], firsts)
    assert set(books[shop.ledger.ledger_id].targets) == {link.position}
    assert shop.rejection(_worked(shop, last)) == "target_rejected"
    proves(shop)
