"""Bugs of the core that let one operation be decided twice, or too far.

They are put into the core itself, so a replay agrees with them: what the rows say must tell.
"""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest import mock

import pipeline.kinds.capture
import pipeline.kinds.expire
import pipeline.kinds.release
import pipeline.kinds.reversal
from pipeline import decide
from pipeline.ledger import Books, Entry, Target
from pipeline.refusal import Refusal
from tests.chaos.planted.interleaving import Planted, anything


def held_at_first(hold: Target) -> int:
    """pipeline.kinds.capture.remaining_of, which forgets what was taken since."""
    return int(hold.entry.body["amount"])


def blind_capture() -> AbstractContextManager[Any]:
    """A capture does not look at what remains of the hold."""
    return mock.patch.object(pipeline.kinds.capture, "remaining_of", held_at_first)


def forgetful_release() -> AbstractContextManager[Any]:
    """A release gives back, and does not record that it decided."""
    return mock.patch.object(pipeline.kinds.release, "decide")


def find_untouched(books: Books, entry: Entry, shown: str) -> Target | Refusal:
    """pipeline.decide.find_target, as if nothing had been given back before."""
    target = decide.find_target(books, entry, shown)
    return target if isinstance(target, Refusal) else replace(target, last=None)


def countless_reversal() -> AbstractContextManager[Any]:
    """A reversal does not count what was given back before."""
    return mock.patch.object(pipeline.kinds.reversal, "find_target", find_untouched)


def find_held(books: Books, entry: Entry, _kinds: tuple[str, ...]) -> Target | Refusal:
    """pipeline.decide.find_pending, as if whatever was held once were held still."""
    target = decide.find_target(books, entry, entry.body["target"])
    if isinstance(target, Refusal) or target.entry.kind != "hold" or target.last is None:
        return decide.find_pending(books, entry, ("hold",))
    last = target.last._replace(remaining=held_at_first(target), terminal=False)
    return replace(target, last=last)


def expiry_again() -> AbstractContextManager[Any]:
    """An expiry that is submitted again, under another key, gives back again."""
    return mock.patch.object(pipeline.kinds.expire, "find_pending", find_held)


PLANTED = (
    Planted(
        "capture that does not look at what remains",
        blind_capture,
        given=anything,
        control=anything,
        backstop=True,
    ),
    Planted(
        "release that forgets its decision", forgetful_release, given=anything, control=anything
    ),
    Planted(
        "reversal that counts nothing",
        countless_reversal,
        given=anything,
        control=anything,
        backstop=True,
    ),
    Planted(
        "expiry again, under another key",
        expiry_again,
        given=anything,
        control=anything,
        backstop=True,
    ),
)
