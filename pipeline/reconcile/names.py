"""References: what a bank and a ledger both call the same payment, in one spelling.

"order-8123", "ORDER 8123", "Order/8123"  ->  "ORDER8123"
"""

import string
from collections.abc import Iterable, Iterator

# A shorter text stands in half of all descriptions by chance and proves nothing.
NAME_MIN_LENGTH = 4
# A word of running text names something only if it is long enough and has a digit in it.
WORD_MIN_LENGTH = 6
# How much of a text is looked at: as much as the description of an operation may have.
TEXT_MAX_LENGTH = 500

NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
# What banks write where there is no reference.
PLACEHOLDERS = frozenset({"NOTPROVIDED", "NONREF", "NOREF", "NONE", "NULL", "UNKNOWN"})


def spelled(text: str) -> str:
    """The letters and digits of the text, in capitals; "" if they are too few to name a thing."""
    found = "".join(_parts(text))
    if len(found) < NAME_MIN_LENGTH or found in PLACEHOLDERS:
        return ""
    return found


def names(texts: Iterable[str]) -> Iterator[str]:
    """Each text as one name."""
    for text in texts:
        name = spelled(text)
        if name:
            yield name


def words(text: str) -> Iterator[str]:
    """The words of running text, and each two neighbours as one, that could name something.

    Two neighbours, because `order-8123` is often printed as `ORDER 8123`.
    """
    return _words(_parts(text))


def all_names(text: str) -> list[str]:
    """The words of running text that could name something, and the whole of it as one name."""
    parts = _parts(text)
    return ["".join(parts), *_words(parts)]


def _words(parts: list[str]) -> Iterator[str]:
    before = ""
    for word in parts:
        if len(word) >= WORD_MIN_LENGTH and not word.isalpha():
            yield word
        if before:
            both = before + word
            if len(both) >= WORD_MIN_LENGTH and not both.isalpha():
                yield both
        before = word


def _parts(text: str) -> list[str]:
    return text[:TEXT_MAX_LENGTH].upper().translate(NO_PUNCTUATION).split()
