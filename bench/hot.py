"""hot: what it costs when many operations touch one account."""

import itertools
from collections.abc import Callable, Iterator

from bench.bulk import ACCOUNTS
from bench.figures import Figures
from bench.measure import Load, Pair, new_ledger, open_accounts, transfers, uniform

HOT = "world"


def half_from_one(codes: list[str]) -> Iterator[Pair]:
    """Every second transfer leaves the same account."""
    for number, (source, destination) in enumerate(uniform(codes)):
        yield (HOT if number % 2 else source), destination


def half_to_one(codes: list[str]) -> Iterator[Pair]:
    """Every second transfer goes to the same account."""
    for number, (source, destination) in enumerate(uniform(codes)):
        yield source, (HOT if number % 2 else destination)


def one_pair(codes: list[str]) -> Iterator[Pair]:
    """All transfers are between the same two accounts."""
    return itertools.repeat((HOT, codes[0]))


VARIANTS: dict[str, Callable[[list[str]], Iterator[Pair]]] = {
    "uniform": uniform,
    "half from one": half_from_one,
    "half to one": half_to_one,
    "one pair": one_pair,
}


def hot(operations: int) -> Figures:
    """Each variant twice, the second time in the opposite order; the faster of the two counts."""
    best: dict[str, dict[str, float]] = {}
    for variant in (*VARIANTS, *reversed(VARIANTS)):
        figures = rates(variant, operations)
        before = best.get(variant)
        if before is None or figures["posted_per_s"] > before["posted_per_s"]:
            best[variant] = figures
    base = best["uniform"]["posted_per_s"]
    cases = {
        variant: {**best[variant], "of_uniform_%": 100 * best[variant]["posted_per_s"] / base}
        for variant in VARIANTS
    }
    notes = ["Each variant twice, in opposite orders; the faster of the two is shown."]
    return Figures("hot", f"hot: {operations:,} transfers, one ledger", cases, notes)


def rates(variant: str, operations: int) -> dict[str, float]:
    """One repetition, on a ledger of its own."""
    ledger = new_ledger("hot")
    codes = open_accounts(ledger, ACCOUNTS)
    return Load(ledger, transfers(VARIANTS[variant](codes), operations)).play().figures
