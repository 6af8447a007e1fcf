"""E-mail addresses that look like another one's: nobody new gets in with one.

Whoever has one from before keeps it: people are found by the address as it was given.
"""

import re
import unicodedata

# What is shown as nothing, beside control and format characters: Unicode's other code points with
# the property Default_Ignorable.
NOTHING = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def disguised(email: str) -> str | None:
    """Why it could be taken for another address; None if it could not.

    Letters of another script that look alike are letters: they may be anybody's real address.
    """
    if any(unicodedata.category(one)[0] in "CZ" for one in email) or NOTHING.search(email):
        return "An e-mail address is of characters that are seen."
    if unicodedata.normalize("NFKC", email) != unicodedata.normalize("NFC", email):
        return "An e-mail address is of plain letters and digits, not of wide ones or the like."
    return None
