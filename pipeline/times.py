"""Moments in time as clients write them: RFC 3339, with an offset."""

import datetime as dt


def parse_time(text: str) -> dt.datetime:
    """The moment, in UTC; raises ValueError where the text names none, or no offset."""
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("The time has no offset from UTC.")
    return moment.astimezone(dt.UTC)
