"""Personal data within operations: about a handful of people, and known again wherever it leaks."""

import random
from typing import Any

Content = dict[str, Any]

# Whoever finds this anywhere but in what a client was shown has found data in clear.
CANARY = "canary-in-clear"
# Out of a hundred operations.
ABOUT_SOMEBODY = 20
SUBJECTS = [f"customer-{number}" for number in range(1, 6)]
# Is erased while the faults strike.
ERASED = SUBJECTS[0]
BITS = 64


def about(choose: random.Random, content: Content) -> Content:
    """The operation, perhaps with data about somebody in it, or in the first that it holds."""
    if choose.randrange(100) >= ABOUT_SOMEBODY:
        return content
    if content["kind"] == "group":
        first, *others = content["operations"]
        return {**content, "operations": [{**first, "personal": _somebody(choose)}, *others]}
    if content["kind"] == "schedule":
        return {**content, "operation": {**content["operation"], "personal": _somebody(choose)}}
    return {**content, "personal": _somebody(choose)}


def other(choose: random.Random, before: Content) -> Content:
    """Other data about the same subject."""
    return {**before, "name": _name(choose)}


def _somebody(choose: random.Random) -> Content:
    return {"subject": choose.choice(SUBJECTS), "name": _name(choose)}


def _name(choose: random.Random) -> str:
    return f"{CANARY}-{choose.getrandbits(BITS):x}"
