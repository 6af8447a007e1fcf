"""What unmatched lines may belong to: suggestions for a person, with the reason for each."""

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Connection

from pipeline.reconcile import unmatched
from pipeline.reconcile.items import Suggestion, Windows
from pipeline.reconcile.matching import Matching
from pipeline.reconcile.subject import Subject

SUGGESTIONS_MAX = 5


def suggestions(
    connection: Connection,
    subject: Subject,
    numbers: Sequence[int],
    windows: Windows | None = None,
) -> dict[int, list[Suggestion]]:
    """For each of these lines that is unmatched the likeliest postings, the best first."""
    windows = windows or Windows()
    lines = unmatched.lines(connection, subject, numbers)
    if not lines:
        return {}
    matching = Matching(lines, windows)
    around = dt.timedelta(days=windows.reference_days)
    since = dt.date.fromordinal(min(line.day for line in lines)) - around
    until = dt.date.fromordinal(max(line.day for line in lines)) + around
    for posting in unmatched.postings(connection, subject, since, until):
        matching.add(posting)
    return {line.number: matching.suggestions(line.number, SUGGESTIONS_MAX) for line in lines}
