"""The hierarchy that the codes of accounts spell, with what is held at and below each node."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.ledger import DEBIT_NORMAL
from pipeline.reports.balances import Held
from pipeline.reports.books import SEPARATOR, refuse_more


@dataclass
class Node:
    """All accounts of one currency whose codes are `code` or go on from it."""

    code: str
    depth: int
    currency: str
    accounts: int = 0
    net: int = 0  # credits less debits
    types: set[str] = field(default_factory=set)

    @property
    def balance(self) -> int | None:
        """On the normal side of its accounts; None where they have different ones."""
        sides = {type_ in DEBIT_NORMAL for type_ in self.types}
        if len(sides) > 1:
            return None
        return -self.net if True in sides else self.net


def tree(held: Iterable[Held], depth: int, least: int = 1, most: int | None = None) -> list[Node]:
    """The nodes of the depths `least` to `depth`, each before those below it.

    Raises TooLargeError where there would be more than `most`.
    """
    found: dict[tuple[tuple[str, ...], str], Node] = {}
    for account, net, _used in held:
        parts = tuple(account.code.split(SEPARATOR))
        for level in range(least, min(depth, len(parts)) + 1):
            key = (parts[:level], account.currency)
            node = found.get(key)
            if node is None:
                refuse_more(found, most)
                code = SEPARATOR.join(parts[:level])
                node = found[key] = Node(code, level, account.currency)
            node.accounts += 1
            node.net += net
            node.types.add(account.type)
    return [node for _, node in sorted(found.items())]
