"""The pure core of matching: lines and postings in, matches out, the same for the same input.

    reference        a reference agrees and so does the amount: the only such pair on both sides
    reference_sum    a reference agrees, and all postings (or lines) that bear it sum to the amount
    amount_and_date  the same amount within the window: the only such pair on both sides
    sum              the only choice of postings (or lines) within the window that sums to it

Nothing is guessed: where two would fit, neither is taken, and whoever has a reference that agrees
with something else is not matched by its amount alone. What is left is for people.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from pipeline.reconcile.items import Line, Match, Place, Posting, Suggestion, Windows
from pipeline.reconcile.names import all_names, names, spelled, words
from pipeline.reconcile.sums import Budget, only_sum

# A reference that more lines than this bear is a customer's number or a salutation, no payment's.
LINES_OF_A_REFERENCE_MAX = 50
# A batch of more postings than this under one reference is left to a person.
POSTINGS_OF_A_LINE_MAX = 1_000
# Steps of all searches for sums in one matching: about two seconds.
SUM_STEPS = 1_000_000
# Postings (or lines) within the window that are looked at for one sum.
LOOKED_AT_MAX = 400

# One side of the matter for code that is the same for both: from an item to the other side's items.
Edges = dict[int, list[int]]
# (day, item), sorted.
Dated = list[tuple[int, int]]


class Matching:
    """Lines and the postings that they may belong to. `add` the postings, then ask for `matches`.

    Postings are kept as columns, 22 bytes each, and with a list of their places only where the
    amount is that of a line: a million of them take some 50 MB.
    """

    def __init__(self, lines: Iterable[Line], windows: Windows | None = None) -> None:
        self._windows = windows or Windows()
        self._lines = sorted(lines)
        self._positions, self._legs = array("q"), array("h")
        self._amounts, self._days = array("q"), array("l")
        self._lines_by_amount: dict[int, list[int]] = defaultdict(list)
        for n, line in enumerate(self._lines):
            self._lines_by_amount[line.amount].append(n)
        self._postings_by_amount: dict[int, array[int]] = {
            amount: array("l") for amount in self._lines_by_amount
        }
        self._by_reference = self._index(lambda line: names(line.references))
        self._by_word = self._index(lambda line: words(line.text))
        self._by_position: dict[int, list[int]] = defaultdict(list)
        for n, line in enumerate(self._lines):
            for position in line.positions:
                self._by_position[position].append(n)
        self._of_line: Edges = defaultdict(list)
        self._of_posting: Edges = defaultdict(list)
        self._free_lines, self._free_postings = bytearray(), bytearray()
        self._free_by_amount: dict[int, tuple[Dated, Dated]] = {}

    def add(self, posting: Posting) -> None:
        """One more posting; the order in which they come does not matter."""
        n = len(self._positions)
        self._positions.append(posting.position)
        self._legs.append(posting.leg)
        self._amounts.append(posting.amount)
        self._days.append(posting.day)
        same = self._postings_by_amount.get(posting.amount)
        if same is not None:
            same.append(n)
        for line in self._referring(posting):
            if abs(self._lines[line].day - posting.day) <= self._windows.reference_days:
                self._of_posting[n].append(line)
                # One more than the bound says that there were too many.
                if len(self._of_line[line]) <= POSTINGS_OF_A_LINE_MAX:
                    self._of_line[line].append(n)

    def matches(self) -> list[Match]:
        """What belongs together, in the order of the lines."""
        found: list[Match] = []
        self._free_lines = bytearray(b"\x01") * len(self._lines)
        self._free_postings = bytearray(b"\x01") * len(self._positions)
        for days in (self._windows.reference_days, self._windows.days):
            self._take(found, "reference", self._same_amount(days))
        self._take(found, "reference_sum", self._reference_sums())
        self._take(found, "amount_and_date", self._same_amount_and_date())
        self._take(found, "sum", self._sums())
        return sorted(found, key=lambda match: (match.lines, match.postings))

    def suggestions(self, number: int, most: int) -> list[Suggestion]:
        """What the line of this number may belong to, the likeliest first."""
        n = bisect_left(self._lines, (number,))
        line = self._lines[n]
        near = [(0, p) for p in self._of_line.get(n, ())]
        near += [(1, p) for p in self._postings_by_amount.get(line.amount, ())]
        found: dict[int, tuple[int, int, int, Suggestion]] = {}
        for order, p in near:
            difference, days = line.amount - self._amounts[p], self._days[p] - line.day
            reason = ("reference", "amount")[order]
            if order == 0 and difference == 0:
                reason = "reference_and_amount"
            if abs(days) <= self._windows.reference_days and p not in found:
                suggestion = Suggestion(self._place(p), reason, difference, days)
                found[p] = (order, abs(difference), abs(days), suggestion)
        return [one[-1] for one in sorted(found.values())[:most]]

    def _index(self, names_of: Callable[[Line], Iterator[str]]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for n, line in enumerate(self._lines):
            for name in set(names_of(line)):
                if len(found[name]) <= LINES_OF_A_REFERENCE_MAX:
                    found[name].append(n)
        return {k: v for k, v in found.items() if len(v) <= LINES_OF_A_REFERENCE_MAX}

    def _referring(self, posting: Posting) -> set[int]:
        """The lines that a reference joins with the posting."""
        found = set(self._by_position.get(posting.position, ()))
        for text in posting.names:
            name = spelled(text)
            if name in self._by_reference:
                found.update(self._by_reference[name])
            if name in self._by_word:
                found.update(self._by_word[name])
        if posting.text and self._by_reference:
            for word in all_names(posting.text):
                if word in self._by_reference:
                    found.update(self._by_reference[word])
        return found

    def _place(self, posting: int) -> Place:
        return Place(self._positions[posting], self._legs[posting])

    def _take(
        self, found: list[Match], rule: str, proposed: list[tuple[list[int], list[int]]]
    ) -> None:
        """Take the proposals that share nothing with another one."""
        times_line: dict[int, int] = defaultdict(int)
        times_posting: dict[int, int] = defaultdict(int)
        for lines, postings in proposed:
            for line in lines:
                times_line[line] += 1
            for posting in postings:
                times_posting[posting] += 1
        for lines, postings in proposed:
            if all(times_line[line] == 1 for line in lines) and all(
                times_posting[posting] == 1 for posting in postings
            ):
                for line in lines:
                    self._free_lines[line] = 0
                for posting in postings:
                    self._free_postings[posting] = 0
                numbers = tuple(sorted(self._lines[line].number for line in lines))
                places = tuple(sorted(map(self._place, postings)))
                found.append(Match(rule, numbers, places))

    def _same_amount(self, days: int) -> list[tuple[list[int], list[int]]]:
        """Every pair of equal amounts that a reference joins: `_take` keeps those without rival."""
        return [
            ([line], [posting])
            for line, postings in self._of_line.items()
            if self._free_lines[line] and not self._crowded(line)
            for posting in postings
            if self._free_postings[posting]
            and self._amounts[posting] == self._lines[line].amount
            and abs(self._days[posting] - self._lines[line].day) <= days
        ]

    def _reference_sums(self) -> list[tuple[list[int], list[int]]]:
        """A line and all the postings that it refers to, which refer to it alone; and reversed."""
        found = []
        for line in sorted(self._of_line):
            if self._free_lines[line] and not self._crowded(line):
                postings = self._free_of(line)
                if (
                    len(postings) > 1
                    and all(self._lines_of(posting) == [line] for posting in postings)
                    and sum(self._amounts[p] for p in postings) == self._lines[line].amount
                ):
                    found.append(([line], postings))
        for posting in sorted(self._of_posting):
            if self._free_postings[posting]:
                lines = self._lines_of(posting)
                if (
                    len(lines) > 1
                    and all(self._only_posting(line) == posting for line in lines)
                    and sum(self._lines[n].amount for n in lines) == self._amounts[posting]
                ):
                    found.append((lines, [posting]))
        return found

    def _free_of(self, line: int) -> list[int]:
        return [p for p in self._of_line.get(line, ()) if self._free_postings[p]]

    def _crowded(self, line: int) -> bool:
        return len(self._of_line.get(line, ())) > POSTINGS_OF_A_LINE_MAX

    def _contested(self, line: int) -> bool:
        """Whether a reference still joins the line with something that it was not matched with."""
        return self._crowded(line) or bool(self._free_of(line))

    def _lines_of(self, posting: int) -> list[int]:
        return [n for n in self._of_posting.get(posting, ()) if self._free_lines[n]]

    def _only_posting(self, line: int) -> int | None:
        free = self._free_of(line)
        return free[0] if len(free) == 1 and not self._crowded(line) else None

    def _same_amount_and_date(self) -> list[tuple[list[int], list[int]]]:
        """The pairs of one amount within the window that are each other's only choice."""
        found = []
        for amount, (lines, postings) in self._by_amount().items():
            for day, line in lines:
                near = _span(postings, day, self._windows.days)
                if len(near) != 1 or self._contested(line):
                    continue
                at, posting = postings[near[0]]
                rivals = _span(self._free_by_amount[amount][0], at, self._windows.days)
                if len(rivals) == 1 and not self._lines_of(posting):
                    found.append(([line], [posting]))
        return found

    def _by_amount(self) -> dict[int, tuple[Dated, Dated]]:
        """For each amount of a line, the free lines and postings of it by day."""
        self._free_by_amount = {
            amount: (
                sorted((self._lines[n].day, n) for n in lines if self._free_lines[n]),
                sorted(
                    (self._days[p], p)
                    for p in self._postings_by_amount[amount]
                    if self._free_postings[p]
                ),
            )
            for amount, lines in self._lines_by_amount.items()
        }
        return self._free_by_amount

    def _sums(self) -> list[tuple[list[int], list[int]]]:
        """Each line with the only choice of postings that sums to it, and reversed.

        Whoever has an equal amount within the window takes no part: that is for a person.
        """
        self._by_amount()
        days = self._windows.days
        lines = sorted(
            (line.day, line.amount, n)
            for n, line in enumerate(self._lines)
            if self._free_lines[n]
            and not self._contested(n)
            and not self._has_equal(1, line.amount, line.day)
        )
        if not lines:
            return []
        postings = sorted(
            (day, amount, p)
            for p, (day, amount) in enumerate(zip(self._days, self._amounts, strict=True))
            if self._free_postings[p]
            and _span(lines, day, days)
            and not self._lines_of(p)
            and not self._has_equal(0, amount, day)
        )
        budget = Budget(SUM_STEPS)
        found = [([n], chosen) for n, chosen in _only_sums(lines, postings, days, budget)]
        found += [(chosen, [n]) for n, chosen in _only_sums(postings, lines, days, budget)]
        return found

    def _has_equal(self, side: int, amount: int, day: int) -> bool:
        """Whether the side (0: lines, 1: postings) has the amount free within the window."""
        sides = self._free_by_amount.get(amount)
        return sides is not None and bool(_span(sides[side], day, self._windows.days))


def _span(items: Sequence[tuple[int, ...]], day: int, days: int) -> range:
    """The places of the items, which are sorted by day, that lie within so many days."""
    first = bisect_left(items, (day - days,))
    return range(first, bisect_left(items, (day + days + 1,), lo=first))


def _only_sums(
    targets: Sequence[tuple[int, int, int]],
    parts: Sequence[tuple[int, int, int]],
    days: int,
    budget: Budget,
) -> Iterator[tuple[int, list[int]]]:
    for day, amount, n in targets:
        span = _span(parts, day, days)
        # Those of the other sign and the larger ones do not count, but looking at them costs.
        if len(span) > LOOKED_AT_MAX:
            continue
        sign = 1 if amount > 0 else -1
        fitting = [parts[at] for at in span if 0 < sign * parts[at][1] < sign * amount]
        chosen = only_sum([part[1] for part in fitting], amount, budget)
        if chosen is not None:
            yield n, [fitting[at][2] for at in chosen]
