"""The checker itself: a sound ledger passes every invariant, and each thing that is wrong fails."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.ledger import Decision, Pending
from pipeline.strict_json import canonical
from tests.bank import ADMIN, new_ledger, transfer
from tests.chaos.evidence import Evidence, read_evidence
from tests.chaos.history import Act, Attempt
from tests.chaos.identity import COUNTS_ON_S
from tests.chaos.sound_case import Case


def lose_an_operation(case: Case) -> None:
    case.evidence.log.pop()


def answer_with_another_position(case: Case) -> None:
    case.paid.position = 4


def call_two_answers_new(case: Case) -> None:
    again = case.attempt("paid", case.paid.content)
    again.id, again.position = case.paid.id, case.paid.position
    again.end("ok")


def let_altered_content_through(case: Case) -> None:
    case.paid.content = {**case.paid.content, "amount": 4}


def half_store_an_unknown_one(case: Case) -> None:
    case.paid.result = "unknown"
    case.evidence.keys.remove(case.paid.position)


def name_the_wrong_member(case: Case) -> None:
    again = case.attempt("paid", {**case.paid.content, "amount": 4})
    again.differs = ["currency"]
    again.end("reused")


def store_what_was_refused(case: Case) -> None:
    case.paid.result = "failed"


def store_what_nobody_sent(case: Case) -> None:
    case.history.attempts.remove(case.paid)


def call_a_refusal_posted(case: Case) -> None:
    case.refused.status, case.refused.rejection = "posted", ""


def overtake(case: Case) -> None:
    case.paid.position, case.refused.position = 4, 3


def drop_a_posting(case: Case) -> None:
    case.evidence.postings[case.paid.position].pop()


def skip_a_version(case: Case) -> None:
    legs = case.evidence.postings[case.paid.position]
    legs[0] = legs[0]._replace(version=2)


def lose_a_refusal(case: Case) -> None:
    del case.evidence.rejections[case.refused.position]


def turn_time_back(case: Case) -> None:
    row = case.evidence.log[-1]
    earlier = row.operation.accepted_at - dt.timedelta(hours=1)
    case.evidence.log[-1] = row._replace(operation=row.operation._replace(accepted_at=earlier))


def change_a_balance(case: Case) -> None:
    case.evidence.accounts["a"].debits_posted += 1


def hold_more_than_there_is(case: Case) -> None:
    legs = case.evidence.postings[case.held.position]
    legs[:] = [leg._replace(amount=50 * leg.amount) for leg in legs]
    for code in ("a", "b"):
        case.evidence.accounts[code].debits_pending *= 50
        case.evidence.accounts[code].credits_pending *= 50


def skip_a_version_of_what_is_held(case: Case) -> None:
    legs = case.evidence.postings[case.taken.position]
    legs[-1] = legs[-1]._replace(version=3)


def lose_a_decision(case: Case) -> None:
    del case.evidence.decisions[case.taken.position]


def decide_another(case: Case) -> None:
    (decision,) = case.evidence.decisions[case.back.position]
    case.evidence.decisions[case.back.position] = [decision._replace(target=2)]


def capture_more_than_is_decided(case: Case) -> None:
    legs = case.evidence.postings[case.taken.position]
    legs[:] = [leg if leg.pending else leg._replace(amount=2 * leg.amount) for leg in legs]


def give_back_more_than_was_paid(case: Case) -> None:
    legs = case.evidence.postings[case.back.position]
    legs[:] = [leg._replace(amount=4 * leg.amount) for leg in legs]


def forget_what_waits(case: Case) -> None:
    case.evidence.pending.clear()


def let_what_is_paid_wait(case: Case) -> None:
    case.evidence.pending[case.paid.position] = Pending("hold", None)


def decide_a_stranger(case: Case) -> None:
    del case.evidence.rejections[case.stranger.position]


def change(case: Case, attempt: Attempt, **members: Any) -> None:
    """What is stored of an operation is something else."""
    row = case.evidence.log[attempt.position - 1]
    operation = row.operation._replace(**members)
    case.evidence.log[attempt.position - 1] = row._replace(operation=operation)


def do_half_a_group(case: Case) -> None:
    del case.evidence.postings[case.grouped.position][2:]


def pay_in_another_currency(case: Case) -> None:
    legs = case.evidence.postings[case.grouped.position]
    legs[0] = legs[0]._replace(currency="USD")


def ask_for_what_was_not_there(case: Case) -> None:
    body = {**transfer("a", "b", 3), "require": {"source": {"version": 9}}}
    change(case, case.paid, body=canonical(body).decode())


def freeze_an_account(case: Case) -> None:
    body = canonical({"account": "a", "mode": "debits"}).decode()
    change(case, case.limit, kind="freeze_account", body=body)


def count_what_was_refused(case: Case) -> None:
    (counter,) = case.evidence.usage
    case.evidence.usage[counter] += 1


def pass_a_limit(case: Case) -> None:
    limit = {name: value for name, value in case.limit.content.items() if name != "kind"}
    change(case, case.limit, body=canonical({**limit, "amount": 1}).decode())


def approve_ones_own(case: Case) -> None:
    change(case, case.approved, principal=ADMIN.decode())


def let_a_large_one_through(case: Case) -> None:
    del case.evidence.decisions[case.large.position]


def open_an_account(case: Case) -> None:
    case.evidence.accounts["c"] = case.evidence.accounts["a"]


def occur_again(case: Case) -> None:
    case.evidence.log.append(case.evidence.log[case.occurred.position - 1])


def occur_in_a_pause(case: Case) -> None:
    at = case.schedule.position
    pause = Decision(at, 1, at, "pause", None, None, False, "test")
    case.evidence.decisions[at].append(pause)


def lose_a_run(case: Case) -> None:
    case.evidence.runs["audit"].clear()


def tell_nobody(case: Case) -> None:
    case.listener.heard[0].words[case.bank.ledger.ledger_id].clear()


def ask_after_the_end(case: Case) -> None:
    case.paid.holder, ended_at = "se_1", case.paid.invoked_at - 2 * COUNTS_ON_S
    case.history.act(Act("north", "end", "se_1", invoked_at=0, answered_at=ended_at, status=200))


SABOTAGE: list[tuple[Callable[[Case], None], str]] = [
    (lose_an_operation, "every acknowledged operation is stored"),
    (answer_with_another_position, "every acknowledged operation is stored"),
    (call_two_answers_new, "every acknowledged operation is stored"),
    (let_altered_content_through, "every acknowledged operation is stored"),
    (half_store_an_unknown_one, "every unknown operation is wholly there"),
    (name_the_wrong_member, "altered content never takes effect"),
    (store_what_was_refused, "what was refused is not stored"),
    (store_what_nobody_sent, "what was refused is not stored"),
    (call_a_refusal_posted, "every answer that said final agrees"),
    (overtake, "what was acknowledged earlier stands earlier"),
    (drop_a_posting, "each operation has exactly one outcome"),
    (lose_a_refusal, "each operation has exactly one outcome"),
    (skip_a_version, "account versions have no gaps"),
    (skip_a_version_of_what_is_held, "account versions have no gaps"),
    (hold_more_than_there_is, "each balance is the sum of its postings"),
    (lose_a_decision, "whoever decides is recorded"),
    (lose_a_decision, "a replay of the log gives the same"),
    (decide_another, "whoever decides is recorded"),
    (capture_more_than_is_decided, "of no hold is more taken or given back"),
    (give_back_more_than_was_paid, "of no operation is more given back"),
    (forget_what_waits, "what is kept as pending is what nobody has decided"),
    (forget_what_waits, "a replay of the log gives the same"),
    (let_what_is_paid_wait, "what is kept as pending is what nobody has decided"),
    (decide_a_stranger, "an operation of another ledger cannot be decided"),
    (do_half_a_group, "what is posted is what was asked for"),
    (pay_in_another_currency, "every currency sums to zero"),
    (ask_for_what_was_not_there, "what was asked for under a condition"),
    (freeze_an_account, "nothing is posted to what is frozen"),
    (count_what_was_refused, "no limit was passed"),
    (pass_a_limit, "no limit was passed"),
    (approve_ones_own, "nobody approves their own"),
    (let_a_large_one_through, "what needs approvals waits"),
    (open_an_account, "accounts open when somebody opens them"),
    (occur_again, "each time of a schedule comes once"),
    (occur_in_a_pause, "nothing comes of a schedule that is paused"),
    (turn_time_back, "positions have no gaps, and accepted_at"),
    (change_a_balance, "each balance is the sum of its postings"),
    (change_a_balance, "a replay of the log gives the same"),
    (lose_a_run, "the runs of each stage cover the log"),
    (tell_nobody, "every operation was announced"),
    (ask_after_the_end, "what was ended or revoked lets nobody in"),
]


@pytest.fixture
def case(env: dict[str, str]) -> Case:
    """A ledger on the test's servers."""
    return Case()


def test_a_sound_ledger_passes(case: Case) -> None:
    """Nothing is found where nothing is wrong."""
    assert case.violated() == set()


@pytest.mark.parametrize(
    ("sabotage", "invariant"), SABOTAGE, ids=[act.__name__ for act, _ in SABOTAGE]
)
def test_each_wrong_is_found(case: Case, sabotage: Callable[[Case], None], invariant: str) -> None:
    """The invariant that a sabotage breaks is among those that are violated."""
    sabotage(case)
    assert any(name.startswith(invariant) for name in case.violated()), case.violated()


def test_the_history_of_a_violation_is_short_and_in_order(case: Case) -> None:
    """Only the events of its operations, and the faults that lie between."""
    case.history.strike("broker flushed", "FLUSHALL")
    again = case.attempt("paid", case.paid.content)
    again.end("unknown", "timed out")
    case.history.strike("healed", "too late to matter")
    lines = case.history.excerpt([("north", "paid")])
    words = ["invoked", "ok", "FLUSHALL", "invoked", "unknown"]
    assert [word in line for word, line in zip(words, lines, strict=True)] == [True] * 5


def test_evidence_is_one_ledgers(case: Case) -> None:
    """What belongs to another ledger is not read."""
    other: Evidence = read_evidence("south", new_ledger())
    assert (other.log, other.runs, other.accounts) == ([], {}, {})
