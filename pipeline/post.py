"""post: apply the operations, in order, to the accounts that they touch, and write what came of it.

The books are loaded (load.py), the pure core (perform.py, kinds/) applies, and one message writes
new and changed accounts, postings, rejections, decisions, rules and the run, and commits (write.py,
rules.py).
Accounts are changed by this stage alone, under its lock, so there is nobody to fight with over
them.
"""

from collections.abc import Sequence

from pipeline import dated
from pipeline.ledger import Books, Posting
from pipeline.load import load
from pipeline.perform import entry_of, perform
from pipeline.refusal import Refusal
from pipeline.rules import write_rules
from pipeline.stage import Claim, Operation, Refused, commit, operations, reject
from pipeline.write import write_accounts, write_decisions, write_postings


def post(work: Claim) -> None:
    """Apply the operations that nobody refused; write the effect; record the runs."""
    commit(work, effect(work, operations(work)))


def effect(work: Claim, these: Sequence[Operation]) -> list[str]:
    """The statements that write what comes of the operations, in their order."""
    entries = [entry_of(operation) for operation in these if not operation.rejected]
    books = load(work, entries)
    _mark_rejected(books, these)
    postings: dict[int, list[Posting]] = {span.ledger_id: [] for span in work.spans}
    refusals: list[Refused] = []
    for entry in entries:
        entered = perform(books[entry.ledger_id], entry)
        if isinstance(entered, Refusal):
            refusals.append((entry.ledger_id, entry.position, entered))
        else:
            postings[entry.ledger_id] += entered
    return [
        *write_accounts(work, books),
        *write_postings(work, postings),
        *dated.write(work, these, postings),
        reject(work, refusals),
        *write_decisions(work, books),
        *write_rules(work, books),
    ]


def _mark_rejected(books: dict[int, Books], these: Sequence[Operation]) -> None:
    """Targets that this very run has refused before: their rejections are yet to be written."""
    for operation in these:
        if operation.rejected and operation.position in books[operation.ledger_id].targets:
            books[operation.ledger_id].targets[operation.position].rejected = True
