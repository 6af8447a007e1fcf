"""Which operations count against the limits of their ledger: those that move money by themselves.

What decides another operation does not, for that one counted; and what holds operations leaves the
counting to them.
"""

from dataclasses import replace

from pipeline.kinds.kind import Kind, no_one, nothing_inside, nothing_moves
from pipeline.ledger import Books, Effect, Entry


def counts(kind: Kind) -> bool:
    """Whether it moves money by itself."""
    moves = kind.amounts is not nothing_moves
    return moves and kind.targets is no_one and kind.inner is nothing_inside


def counted(kind: Kind) -> Kind:
    """The kind, with the limits told what is applied. It costs nothing where there are none."""
    if not counts(kind):
        return kind
    plain = kind.apply

    def apply(books: Books, entry: Entry) -> Effect:
        if not books.settings.limits:
            return plain(books, entry)
        books.usage.by, books.usage.amounts = entry, kind.amounts(entry.body)
        effect = plain(books, entry)
        books.usage.by = None
        return effect

    return replace(kind, apply=apply)
