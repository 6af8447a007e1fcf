"""The idempotency key: what makes a repeated request, line or file harmless."""

import re
from typing import Any

KEY_MAX_LENGTH = 255
# Printable ASCII: what an HTTP header carries unchanged. Space at an end would be lost there.
KEY_PATTERN = re.compile(rf"[!-~](?:[ -~]{{0,{KEY_MAX_LENGTH - 2}}}[!-~])?")

# Keys of operations that Trident makes itself: clients and files cannot use them.
RESERVED = "trident:"
# `trident:due:<the id of what waits>:<number>`; ten digits let the keys of one stand in order.
DUE = RESERVED + "due:{}:{:010d}"
# Something drawn, so that no two events are the same one.
EVENT = RESERVED + "event:{}"


class BadKey(ValueError):
    """The value is no idempotency key; the message says what one is."""


def check_key(value: Any) -> str:
    """The key itself; raises BadKey."""
    if isinstance(value, str) and KEY_PATTERN.fullmatch(value):
        return value
    raise BadKey(
        f"An idempotency key is 1 to {KEY_MAX_LENGTH} printable ASCII characters, with no space at"
        " either end."
    )
