"""What of an operation can be searched for, read from its body: the same for index and search.

Descriptions, metadata, amounts and currencies count wherever they stand in the body: those of a
journal's legs are the journal's.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

# Letters, digits and _; everything else stands between words.
WORD = re.compile(r"\w+")


class Contents(NamedTuple):
    """What one operation says, as often as it does. A member is (name, value as text)."""

    words: list[str]
    members: list[tuple[str, str]]
    amounts: list[int]
    currencies: list[str]

    @property
    def many(self) -> int:
        """How many things it says."""
        said = len(self.words) + len(self.members)
        return said + len(self.amounts) + len(self.currencies)


def contents(body: Mapping[str, Any]) -> Contents:
    """What an operation with this body says."""
    found = Contents([], [], [], [])
    _gather(body, found)
    return found


def folded(text: str) -> str:
    """The text as it is compared: without case, and one form for what looks the same."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def words(text: str) -> list[str]:
    """The words of a text, folded."""
    return WORD.findall(folded(text))


def member_text(value: Any) -> str:
    """A metadata value as people write it in a query: true, 42, or the text itself."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _gather(body: Mapping[str, Any], found: Contents) -> None:
    # Four look-ups and one pass: every operation that is indexed comes through here.
    description, metadata = body.get("description"), body.get("metadata")
    if type(description) is str:
        found.words.extend(words(description))
    if type(metadata) is dict:
        found.members.extend([(name, member_text(value)) for name, value in metadata.items()])
    amount, currency = body.get("amount"), body.get("currency")
    if type(amount) is int:
        found.amounts.append(amount)
    if type(currency) is str:
        found.currencies.append(currency)
    for value in body.values():
        if type(value) is list:
            for one in value:
                if type(one) is dict:
                    _gather(one, found)
        elif type(value) is dict and value is not metadata:
            _gather(value, found)
