"""The pure core: what must hold for every log, found by Hypothesis."""

import copy
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.operation import parse_id
from pipeline.decide import position_of
from pipeline.ledger import Decision
from pipeline.refusal import Refusal
from pipeline.undo import mark, put_back
from tests.pipeline.logs import LOGS, MEMBERS, START, Log, begin, pass_one, play


@given(LOGS)
@settings(max_examples=150, deadline=None)
def test_every_operation_sums_to_zero(log: Log) -> None:
    """The postings of an operation sum to zero in each currency and layer, legs 0 to n - 1."""
    _, postings, _ = play(log, begin(log))
    sums: dict[tuple[int, str, bool], int] = {}
    legs: dict[int, list[int]] = {}
    for posting in postings:
        key = (posting.position, posting.currency, posting.pending)
        sums[key] = sums.get(key, 0) + posting.amount
        legs.setdefault(posting.position, []).append(posting.leg)
    assert set(sums.values()) <= {0}
    assert all(found == list(range(len(found))) and len(found) > 1 for found in legs.values())


@given(LOGS)
@settings(max_examples=150, deadline=None)
def test_balances_are_the_sums_of_postings(log: Log) -> None:
    """An account's balance is the sum of its postings, layer by layer; versions have no gaps."""
    books, postings, _ = play(log, begin(log))
    for account in books.accounts.values():
        mine = [posting for posting in postings if posting.account == account.number]
        for pending, version, net in (
            (False, account.version, account.credits_posted - account.debits_posted),
            (True, account.pending_version, account.credits_pending - account.debits_pending),
        ):
            layer = [posting for posting in mine if posting.pending is pending]
            assert net == sum(posting.amount for posting in layer)
            assert [posting.version for posting in layer] == list(range(1, version + 1))
            running = 0
            for posting in layer:
                running += posting.amount
                assert posting.balance_after == running


@given(LOGS)
@settings(max_examples=150, deadline=None)
def test_no_account_passes_its_limit(log: Log) -> None:
    """After every single operation each account is within its overdraft, what is held included."""
    books = begin(log)
    for position, (kind, body) in enumerate(log, start=1):
        pass_one(books, position, kind, body)
        for account in books.accounts.values():
            assert account.available is None or account.available >= 0
            assert min(account.debits_pending, account.credits_pending) >= 0


@given(LOGS)
@settings(max_examples=150, deadline=None)
def test_what_is_decided_adds_up(log: Log) -> None:
    """Decisions of a target are numbered, what remains falls to nothing, and then it ends."""
    books, _, _ = play(log, begin(log))
    chains: dict[int, list[Decision]] = {}
    for decision in books.decisions:
        chains.setdefault(decision.target, []).append(decision)
    for target, chain in chains.items():
        first = 0 if chain[0].effect in ("hold", "schedule") else 1
        assert [one.number for one in chain] == list(range(first, first + len(chain)))
        assert [one.terminal for one in chain[:-1]] == [False] * (len(chain) - 1)
        waits = first == 0 and not chain[-1].terminal
        assert (books.pending.get(target) is not None) is waits
        if chain[0].effect == "schedule":
            assert {one.effect for one in chain[1:]} <= {"occur"}  # those of the logs never end
            continue
        for before, after in pairwise(chain):
            assert before.remaining is not None
            assert after.amount is not None
            assert after.remaining == before.remaining - after.amount
        assert chain[-1].terminal is (chain[-1].remaining in (0, None))


@given(LOGS)
@settings(max_examples=150, deadline=None)
def test_a_refused_operation_changes_nothing(log: Log) -> None:
    """Nothing whatever of the books, but that it was refused: also by groups half-way through.

    An occurrence that is refused lets its schedule wait for its next time.
    """
    books = begin(log)
    for position, (kind, body) in enumerate(log, start=1):
        before = copy.deepcopy(books)
        if isinstance(pass_one(books, position, kind, body), Refusal):
            before.targets[position].rejected = True
            if kind == "occur":
                before.pending = books.pending
                schedule = position_of(parse_id(body["target"]), 1) or 0
                before.targets[schedule].pending = books.targets[schedule].pending
            assert books == before


@given(LOGS, st.lists(MEMBERS, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_books_are_put_back_exactly(log: Log, more: Log) -> None:
    """As they were when they were marked, whatever has been done to what was named."""
    books, _, _ = play(log, begin(log + more))
    before = copy.deepcopy(books)
    codes = [*books.accounts, *(body["code"] for kind, body in more if kind == "open_account")]
    marked = mark(books, codes, books.targets)
    play(more, books, len(log) + 1)
    put_back(books, marked)
    assert books == before


@given(LOGS, st.lists(MEMBERS, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_a_group_does_what_its_members_do(log: Log, members: Log) -> None:
    """One after the other, if none of them is refused; else nothing."""
    start = len(log) + 1
    targets = [parse_id(body["target"]) for _, body in members if "target" in body]
    assume(all((position_of(id_, 1) or 0) < start for id_ in targets))  # not one another
    group = {"operations": [{"kind": kind, **body} for kind, body in members]}
    books, _, _ = play(log, begin([*log, *members, ("group", group)]))
    apart = copy.deepcopy(books)
    _, postings, refusals = play(members, apart, start)
    effect = pass_one(books, start + len(members), "group", group)
    assert isinstance(effect, Refusal) is bool(refusals)
    if not isinstance(effect, Refusal):
        assert books.accounts == apart.accounts
        assert [p[2:] for p in effect] == [p[2:] for p in postings]


@given(LOGS)
@settings(max_examples=150, deadline=None)
def test_the_same_log_gives_the_same_books(log: Log) -> None:
    """The core is a function of the log."""
    assert play(log, begin(log)) == play(copy.deepcopy(log), begin(log))


@given(LOGS, st.integers(0, 50))
@settings(max_examples=150, deadline=None)
def test_it_does_not_matter_where_a_run_ends(log: Log, cut: int) -> None:
    """Two runs over parts of the log do what one run over all of it does."""
    whole, postings, refusals = play(log, begin(log))
    books, first, refused_first = play(log[:cut], begin(log))
    books, second, refused_second = play(log[cut:], books, cut + 1)
    assert books.accounts == whole.accounts
    assert first + second == postings
    assert refused_first + refused_second == refusals


def test_the_logs_begin_well() -> None:
    """What every log begins with is posted, so the rest has books to work on."""
    books = begin(START)
    assert play(START, books)[2] == []
