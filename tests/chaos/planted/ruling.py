"""Bugs of groups, limits, approvals and schedules, in the core and in the scheduler.

A replay agrees with most of them, as with those of deciding.py: what the rows say must tell.
"""

import itertools
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest import mock

import pipeline.due
import pipeline.enter
import pipeline.kinds.approve
import pipeline.kinds.group
import pipeline.load
import pipeline.perform
from pipeline import decide, due, limits
from pipeline.ledger import Books, Entry, Target, Usage
from pipeline.receipt import Submission
from pipeline.refusal import Refusal
from tests.chaos.planted.interleaving import Planted, anything, flushed


def half_a_group() -> AbstractContextManager[Any]:
    """A group whose member fails leaves what the members before it have done."""
    return mock.patch.object(pipeline.kinds.group, "put_back")


def settle_all(usage: Usage, *, refused: bool) -> None:
    """pipeline.limits.settle, whatever came of the operation."""
    limits.settle(usage, refused=False)


def counting_refused() -> AbstractContextManager[Any]:
    """What is refused after all counts towards a limit."""
    return mock.patch.object(pipeline.perform, "settle", settle_all)


def forgetful_limit() -> AbstractContextManager[Any]:
    """A run does not look at what earlier ones have used of a limit."""
    return mock.patch.object(pipeline.load, "load_usage")


def own_approval() -> AbstractContextManager[Any]:
    """Whoever has the role approves, whosever it is and as often as he likes."""
    return mock.patch.object(pipeline.kinds.approve, "_refuse_person", return_value=None)


def find_approved(books: Books, entry: Entry) -> Target | Refusal:
    """pipeline.decide.find_waiting, as if what was approved were one approval short still."""
    target = decide.find_target(books, entry, entry.body["target"])
    if isinstance(target, Refusal) or target.last is None or target.last.effect != "approve":
        return decide.find_waiting(books, entry)
    return replace(target, last=target.last._replace(remaining=1, terminal=False))


def approved_again() -> AbstractContextManager[Any]:
    """One more approval carries out what was approved before."""
    return mock.patch.object(pipeline.kinds.approve, "find_waiting", find_approved)


def fresh_keys() -> AbstractContextManager[Any]:
    """Each look of the scheduler submits under keys of its own."""
    numbers = itertools.count()

    def submission(one: due.Due) -> Submission:
        said = known(one)
        return replace(said, key=f"{said.key}-{next(numbers)}")

    known = due.submission
    return mock.patch.object(pipeline.due, "submission", submission)


def left_open() -> AbstractContextManager[Any]:
    """An account that a refused operation would have used first stays open."""
    return mock.patch.object(pipeline.enter, "close_again")


PLANTED = (
    Planted(
        "group that leaves what came before its failing member",
        half_a_group,
        given=anything,
        control=anything,
    ),
    Planted(
        "limit that counts what was refused", counting_refused, given=anything, control=anything
    ),
    Planted(
        "limit that forgets what earlier runs used",
        forgetful_limit,
        given=anything,
        control=anything,
    ),
    Planted(
        "approval of one's own",
        own_approval,
        given=anything,
        control=anything,
        backstop=True,
    ),
    Planted(
        "approval carried out twice",
        approved_again,
        given=anything,
        control=anything,
        backstop=True,
    ),
    Planted("occurrence under a fresh key", fresh_keys, given=flushed, control=flushed),
    Planted("account left open by who was refused", left_open, given=anything, control=anything),
)
