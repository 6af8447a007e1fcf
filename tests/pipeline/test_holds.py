"""Holds: reserved, captured, released, expired; never more than was held, never twice."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from models.operation import make_id, show_id
from pipeline.kinds import OFFERED
from pipeline.ledger import TOTAL_MAX
from pipeline.principal import SCHEDULER
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from pipeline.through import through
from pipeline.verify.verify import verify
from tests.bank import Bank, new_ledger, transfer
from tests.pipeline.logs import OPENED, begin, play

NOBODY = canonical({"roles": [], "sub": "nobody"})
BY_TIME = canonical({"roles": [SCHEDULER], "sub": "trident:scheduler"})


@pytest.fixture(params=["stage by stage", "through"])
def shop(bank: Bank, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A customer with 100.00 EUR and a merchant."""
    if request.param == "through":
        monkeypatch.setattr(bank, "work", lambda: through([bank.ledger]))
    bank.fund("customer", 10_000)
    bank.open("merchant")
    bank.work()
    return bank


def hold(bank: Bank, amount: int, **more: Any) -> Accepted:
    """Of the customer's money for the merchant."""
    return bank.submit("hold", {**transfer("customer", "merchant", amount), **more})


def decide(bank: Bank, kind: str, target: Accepted, **more: Any) -> Accepted:
    """An operation about another one."""
    principal = {"principal": BY_TIME} if kind == "expire" else {}
    return bank.submit(kind, {"target": show_id(target.id), **more}, **principal)


def totals(bank: Bank, code: str) -> tuple[int, int, int]:
    """Balance, what is reserved as going out, and as coming in."""
    query = (
        "SELECT credits_posted - debits_posted, debits_pending, credits_pending FROM accounts"
        " WHERE ledger_id = :ledger AND code = :code"
    )
    (row,) = bank.rows(query, code=code)
    return tuple(row)


def decisions(bank: Bank, target: Accepted) -> list[tuple[str, int | None, int | None, bool]]:
    """The fate of an operation."""
    query = (
        "SELECT effect, amount, remaining, terminal FROM decisions"
        " WHERE ledger_id = :ledger AND target = :target ORDER BY number"
    )
    return [tuple(row) for row in bank.rows(query, target=target.position)]


def proves(bank: Bank) -> None:
    """`trident verify` finds nothing."""
    assert [finding.fault for finding in verify(bank.ledger) if finding.fault] == []


def test_a_hold_takes_what_is_available_and_posts_nothing(shop: Bank) -> None:
    """It waits, pending; the balance stays; what it reserved cannot be spent or held again."""
    held = hold(shop, 7_000)
    poor = shop.transfer("customer", "merchant", 3_001)
    again = hold(shop, 3_001)
    rich = shop.transfer("customer", "merchant", 3_000)
    shop.work()
    assert shop.status(held) == "pending"
    assert [shop.rejection(one) for one in (poor, again, rich)] == [
        "insufficient_funds",
        "insufficient_funds",
        None,
    ]
    assert totals(shop, "customer") == (7_000, 7_000, 0)
    assert totals(shop, "merchant") == (3_000, 0, 7_000)
    assert decisions(shop, held) == [("hold", 7_000, 7_000, False)]
    proves(shop)


def test_captures_take_parts_until_nothing_is_left(shop: Bank) -> None:
    """Each part is posted, the rest stays reserved, and the last part ends the hold."""
    held = hold(shop, 7_000)
    parts = [decide(shop, "capture", held, amount=amount) for amount in (2_000, 4_000)]
    shop.work()
    assert totals(shop, "customer") == (4_000, 1_000, 0)
    assert shop.status(held) == "pending"
    too_much = decide(shop, "capture", held, amount=1_001)
    rest = decide(shop, "capture", held)
    late = decide(shop, "capture", held, amount=1)
    shop.work()
    assert totals(shop, "customer") == (3_000, 0, 0)
    assert totals(shop, "merchant") == (7_000, 0, 0)
    found = [shop.rejection(one) for one in (*parts, too_much, rest, late)]
    assert found == [None, None, "amount_exceeds_held", None, "target_decided"]
    assert shop.status(held) == "posted"
    assert [row[:3] for row in decisions(shop, held)] == [
        ("hold", 7_000, 7_000),
        ("capture", 2_000, 5_000),
        ("capture", 4_000, 1_000),
        ("capture", 1_000, 0),
    ]
    proves(shop)


def test_a_final_capture_gives_back_the_rest(shop: Bank) -> None:
    """What it does not take is available again at once."""
    held = hold(shop, 7_000)
    decide(shop, "capture", held, amount=2_000, final=True)
    spent = shop.transfer("customer", "merchant", 8_000)
    shop.work()
    assert shop.rejection(spent) is None
    assert totals(shop, "customer") == (0, 0, 0)
    assert decisions(shop, held)[-1] == ("release", 5_000, 0, True)
    proves(shop)


@pytest.mark.parametrize("kind", ["release", "expire"])
def test_a_release_gives_back_everything(shop: Bank, kind: str) -> None:
    """Also of accounts that were frozen in the meantime; afterwards nothing can be captured."""
    held = hold(shop, 7_000)
    decide(shop, "capture", held, amount=500)
    shop.submit("freeze_account", {"account": "customer"})
    given_back = decide(shop, kind, held)
    late = decide(shop, "capture", held)
    shop.work()
    assert shop.rejection(given_back) is None
    assert shop.rejection(late) == "target_decided"
    assert totals(shop, "customer") == (9_500, 0, 0)
    assert totals(shop, "merchant") == (500, 0, 0)
    proves(shop)


def test_a_frozen_account_is_not_captured_from(shop: Bank) -> None:
    """The hold outlasts the freeze."""
    held = hold(shop, 7_000)
    shop.submit("freeze_account", {"account": "customer"})
    early = decide(shop, "capture", held)
    shop.submit("unfreeze_account", {"account": "customer"})
    taken = decide(shop, "capture", held)
    shop.work()
    assert [shop.rejection(one) for one in (early, taken)] == ["account_frozen", None]
    proves(shop)


def test_an_account_with_holds_is_not_closed(shop: Bank) -> None:
    """Its balance may be zero: the merchant waits for money."""
    held = hold(shop, 7_000)
    early = shop.submit("close_account", {"account": "merchant"})
    decide(shop, "release", held)
    closed = shop.submit("close_account", {"account": "merchant"})
    shop.work()
    assert [shop.rejection(one) for one in (early, closed)] == ["account_not_empty", None]
    proves(shop)


def test_two_captures_at_once_take_no_more_than_was_held(shop: Bank) -> None:
    """However many clients capture at the same time, the parts fit or are refused."""
    held = hold(shop, 1_000)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda _: decide(shop, "capture", held, amount=300), range(16)))
    shop.work()
    refused = [shop.rejection(one) for one in parts]
    assert refused.count(None) == 3
    assert set(refused) == {None, "amount_exceeds_held"}
    assert totals(shop, "merchant") == (900, 0, 100)
    proves(shop)


def test_targets_that_cannot_be_decided(shop: Bank) -> None:
    """Another ledger's, nobody's, a rejected one, and a kind that does not wait: nothing moves."""
    other = Bank(new_ledger())
    other.fund("customer", 500)
    other.open("merchant")
    foreign = other.submit("hold", transfer("customer", "merchant", 100))
    other.work()
    rejected = hold(shop, 10_001)
    paid = shop.transfer("customer", "merchant", 100)
    guessed = paid._replace(id=foreign.id)
    before = totals(shop, "customer")
    cases = {
        "unknown_target": decide(shop, "capture", foreign),
        "target_rejected": decide(shop, "capture", rejected),
        "target_not_pending": decide(shop, "capture", paid),
    }
    guess = decide(shop, "release", guessed)
    shop.work()
    assert {code: shop.rejection(one) for code, one in cases.items()} == {c: c for c in cases}
    assert shop.rejection(guess) == "unknown_target"
    assert totals(shop, "customer") == (before[0] - 100, *before[1:])
    proves(shop)


def test_a_target_that_is_refused_in_the_same_run(shop: Bank) -> None:
    """Who names what validate or authorize refuses beside it is told that it was rejected."""
    refused = [
        hold(shop, 100, currency="ZZZ"),
        shop.submit("hold", transfer("customer", "merchant", 1), principal=NOBODY),
        shop.transfer("customer", "customer", 1),
    ]
    deciding = [decide(shop, "capture", target) for target in refused[:2]]
    deciding += [decide(shop, "reversal", target) for target in refused]
    shop.work()
    assert [shop.rejection(one) for one in deciding] == ["target_rejected"] * len(deciding)
    proves(shop)


def test_when_a_hold_ends_is_judged(shop: Bank) -> None:
    """A time of expiry lies ahead, and no more than a year."""
    now = dt.datetime.now(dt.UTC)
    cases = [(-1, "expiry_out_of_range"), (367, "expiry_out_of_range"), (1, None)]
    for days, code in cases:
        expires_at = (now + dt.timedelta(days=days)).isoformat()
        held = hold(shop, 1, expires_at=expires_at)
        shop.work()
        assert shop.rejection(held) == code
    due = shop.rows("SELECT target, due_at FROM pending_operations WHERE ledger_id = :ledger")
    assert [row.target for row in due] == [held.position]
    assert due[0].due_at == dt.datetime.fromisoformat(expires_at)
    proves(shop)


def test_a_hold_for_so_many_seconds(shop: Bank) -> None:
    """It ends that long after it was accepted; a second time for its end is refused at the edge."""
    held = hold(shop, 1, expires_after_s=3_600)
    shop.work()
    query = "SELECT due_at - accepted_at FROM pending_operations p JOIN operations o"
    joined = " ON o.ledger_id = p.ledger_id AND o.position = p.target WHERE p.ledger_id = :ledger"
    assert shop.rows(query + joined) == [(dt.timedelta(hours=1),)]
    assert shop.status(held) == "pending"
    both = {"expires_at": "2027-01-01T00:00:00Z", "expires_after_s": 1}
    for wrong in ({"expires_after_s": 0}, {"expires_after_s": 366 * 86_400 + 1}, both):
        body = {**transfer("customer", "merchant", 1), **wrong}
        assert list(OFFERED["hold"].schema.validate(body)) == ["expires_after_s"]
    proves(shop)


def test_nobody_but_the_scheduler_lets_a_hold_expire(shop: Bank) -> None:
    """An administrator may release it, and not say that its time has come."""
    held = hold(shop, 10)
    early = shop.submit("expire", {"target": show_id(held.id)})
    shop.work()
    assert shop.rejection(early) == "not_permitted"


def test_a_token_with_a_limit_captures_no_more(shop: Bank) -> None:
    """What a capture takes counts against the limit for one operation."""
    limited = canonical({"roles": ["submitter"], "sub": "till", "limits": {"EUR": 100}})
    held = hold(shop, 1_000)
    body = {"target": show_id(held.id)}
    whole = shop.submit("capture", body, principal=limited)
    part = shop.submit("capture", {**body, "amount": 100}, principal=limited)
    shop.work()
    assert [shop.rejection(one) for one in (whole, part)] == ["limit_exceeded", None]


def test_what_is_held_up_to_the_greatest_total_is_captured() -> None:
    """A capture posts what the hold has reserved: it is not held against the bound once more."""
    target = {"target": show_id(make_id(1, len(OPENED) + 1, 0))}
    log = [*OPENED, ("hold", transfer("world", "a", 400)), ("capture", target)]
    books = begin(log)
    play(OPENED, books)
    books.accounts["world"].debits_posted = TOTAL_MAX - 400
    play(log[len(OPENED) :], books, len(OPENED) + 1)
    assert books.accounts["world"].debits_posted == TOTAL_MAX
    assert books.accounts["world"].debits_pending == 0
