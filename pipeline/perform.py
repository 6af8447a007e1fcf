"""The core's front door: apply one operation to the books."""

from collections.abc import Sequence

import orjson

from pipeline.kinds import kind_of
from pipeline.kinds.approvals import rule_over, wait
from pipeline.ledger import Books, Effect, Entry, Leg, Posting
from pipeline.limits import settle
from pipeline.refusal import Refusal
from pipeline.stage import Operation


def entry_of(operation: Operation) -> Entry:
    """The operation as the core sees it."""
    o = operation
    return Entry(o.ledger_id, o.position, o.kind, orjson.loads(o.body), o.accepted_at, o.principal)


def perform(books: Books, entry: Entry) -> Effect:
    """The postings, or why not. A refusal leaves the books as they were."""
    rule = None
    if books.settings.approvals:
        rule = rule_over(books.settings, entry.kind, entry.body, entry.principal)
    effect: Effect = []
    if rule is None:
        effect = kind_of(entry.kind).apply(books, entry)
    else:
        wait(books, entry, rule)
    if books.usage.now:
        settle(books.usage, refused=isinstance(effect, Refusal))
    own = books.targets.get(entry.position)
    if own is not None:  # a later operation of the run names this one
        own.rejected = isinstance(effect, Refusal)
        if not isinstance(effect, Refusal):
            own.legs = legs_of(books, effect)
    return effect


def legs_of(books: Books, postings: Sequence[Posting]) -> list[Leg]:
    """What was posted, without what was reserved, by the codes of the accounts."""
    codes = {account.number: code for code, account in books.accounts.items()}
    return [
        (codes[posting.account], posting.amount, posting.currency)
        for posting in postings
        if not posting.pending
    ]
