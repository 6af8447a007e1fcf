"""Which of some amounts sum to a target: found only if there is exactly one such choice.

The search is bounded, and what it cannot finish is no answer: nothing is ever guessed.
"""

from collections.abc import Sequence

# More candidates than this, and some of them sum to almost anything by chance.
CANDIDATES_MAX = 20
# A payment of more than six invoices comes with references.
PARTS_MAX = 6
# One part is an equal amount, which is another rule's.
PARTS_MIN = 2


class Budget:
    """How many steps a search may take in all: hostile amounts cost no more than seconds."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> bool:
        """Whether one more step may be taken."""
        self.left -= 1
        return self.left >= 0


def only_sum(amounts: Sequence[int], target: int, budget: Budget) -> tuple[int, ...] | None:
    """The places of the 2 to PARTS_MAX amounts that sum to the target, if only these do.

    All amounts and the target have the same sign. None: no such choice, several, or not found out.
    """
    if not PARTS_MIN <= len(amounts) <= CANDIDATES_MAX:
        return None
    sign = 1 if target > 0 else -1
    order = sorted(range(len(amounts)), key=lambda n: (-sign * amounts[n], n))
    sizes = [sign * amounts[n] for n in order]
    # What all the amounts from here on could add at most.
    rest = [0] * (len(sizes) + 1)
    for n in range(len(sizes) - 1, -1, -1):
        rest[n] = rest[n + 1] + sizes[n]
    found: list[tuple[int, ...]] = []
    finished = _search(sizes, rest, sign * target, budget, found)
    if not finished or len(found) != 1:
        return None
    return tuple(sorted(order[n] for n in found[0]))


def _search(
    sizes: list[int], rest: list[int], target: int, budget: Budget, found: list[tuple[int, ...]]
) -> bool:
    """Fill `found` until a second choice is known; False when the budget ran out first."""
    stack: list[tuple[int, int, tuple[int, ...]]] = [(0, target, ())]
    while stack:
        if not budget.step():
            return False
        at, missing, chosen = stack.pop()
        if missing == 0:
            if len(chosen) >= PARTS_MIN:
                found.append(chosen)
                if len(found) > 1:
                    return True
            continue
        if at == len(sizes) or len(chosen) == PARTS_MAX or rest[at] < missing:
            continue
        stack.append((at + 1, missing, chosen))
        if sizes[at] <= missing:
            stack.append((at + 1, missing - sizes[at], (*chosen, at)))
    return True
