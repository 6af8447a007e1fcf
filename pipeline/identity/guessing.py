"""How many guesses a password withstands of who knows how people choose theirs: what zxcvbn says.

It brings 30,000 passwords of breaches and 60,000 words and names, and knows dates, keyboards,
repetitions, and letters written as digits and marks. What it does not know it is told here.

Whoever chooses a password sends any text, so the work has a bound. zxcvbn tries each mark for each
letter that it may stand for, all together: a text of all such marks took it five seconds of a core.
"""

import re
import threading
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE

# Its time grows with the square of the length. Five words have 30 characters; who writes more has
# written it in vain if these do not do.
JUDGED_CHARACTERS = 40
# Of marks that may stand for letters so many are taken for them: `p@$$word` has two, and each one
# more doubles the work.
MARKS_JUDGED = 2
MARKS = frozenset(one for marks in L33T_TABLE.values() for one in marks if not one.isalnum())
# Where the marks beyond are put, each to a place of its own: it is nobody's letter.
PRIVATE_USE = 0xE000

# What documentation prints everybody may read, and has.
PRINTED = (
    "correct horse battery staple",
    "correct horse battery",
    "mandolin harbor 49 quilts",
    "viaduct nutmeg 71 lantern",
    "four words by chance",
    "a password of your own",
    "troubador",
    "the quick brown fox",
    "jumps over the lazy dog",
    "to be or not to be",
    "that is the question",
    "may the force be with you",
    "lorem ipsum dolor sit amet",
)
# What comes to somebody's mind who is asked by this service, at some time of some year: zxcvbn's
# lists are of 2016, and take years up to 2019 for years.
AT_HAND = (
    "trident tenant ledger owner admin administrator operator auditor account payment bank banking"
    " money finance wallet company change changeme secret password january february march april may"
    " june july august september october november december spring summer autumn winter monday"
    " tuesday wednesday thursday friday saturday sunday"
)
YEARS = tuple(str(year) for year in range(2020, 2050))
# The digits that a keyboard's marks are without the shift key: `!QAZ@WSX` is `1qaz2wsx`.
UNSHIFTED = str.maketrans("!@#$%^&*()", "1234567890")
# Beside white space and what has no width.
BETWEEN_WORDS = "-_.,"
ENDS = re.compile(r"^[\W\d_]+|[\W\d_]+$")
NO_LETTERS = re.compile(r"[\W_]+")

# zxcvbn keeps the words that it is given in its module. It is pure Python: two at a time would be
# no faster, and leave less to all other requests.
_judging = threading.Lock()


class Guesses(NamedTuple):
    """How many it withstands, as powers of ten: as a whole, and without what stands at its ends."""

    whole: float
    core: float


def guesses(password: str, known: Iterable[str]) -> Guesses:
    """What it withstands of who knows these words, by the way of writing that withstands least."""
    words = _words(known)
    plain = _squeezed(password)
    unshifted = plain.lower().translate(UNSHIFTED)
    whole = min(_log10(plain, words), _log10(unshifted, words))
    return Guesses(whole, _log10(ENDS.sub("", plain), words))


def _squeezed(text: str) -> str:
    """Without what stands between words, and in the plain form of each letter (NFKC); of what is
    too long the beginning."""
    plain = (
        one
        for one in unicodedata.normalize("NFKC", text)
        if one not in BETWEEN_WORDS and unicodedata.category(one)[0] not in "ZC"
    )
    return "".join(plain)[:JUDGED_CHARACTERS]


def _words(known: Iterable[str]) -> list[str]:
    """What is tried first of all, from the first on."""
    own = [one.casefold() for one in known]
    parts = [part for one in own for part in NO_LETTERS.split(one) if len(part) > 1]
    whole = [_squeezed(one) for one in (*own, *PRINTED)]
    return [*parts, *whole, *AT_HAND.split(), *YEARS]


def _log10(text: str, words: list[str]) -> float:
    if not text:
        return 0.0
    with _judging:
        return float(zxcvbn(_few_marks(text[:JUDGED_CHARACTERS]), words)["guesses_log10"])


def _few_marks(text: str) -> str:
    marks = list(dict.fromkeys(one for one in text if one in MARKS))
    return text.translate({ord(one): PRIVATE_USE + ord(one) for one in marks[MARKS_JUDGED:]})
