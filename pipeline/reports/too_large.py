"""What a report refuses: more than it could hold or sort within bounded work."""


class TooLargeError(Exception):
    """The report would hold more than its form can; the message says what to do."""
