"""The letters of a PDF: the fonts that are embedded, and text broken into lines.

DejaVu Sans Condensed, cut down to Latin, Greek, Cyrillic, Armenian and Georgian letters, signs and
currencies (fonts/LICENSE). Only the letters that a document uses go into it.
"""

import unicodedata
from functools import lru_cache
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

FONTS = Path(__file__).parent / "fonts"
PLAIN, BOLD = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


@lru_cache(maxsize=1)
def register_fonts() -> frozenset[int]:
    """Read the fonts, once in a process; the letters that they have."""
    fonts = [TTFont(name, FONTS / f"{name}.ttf") for name in (PLAIN, BOLD)]
    for font in fonts:
        pdfmetrics.registerFont(font)
    return frozenset.intersection(*(frozenset(font.face.charToGlyph) for font in fonts))


def printable(text: str) -> str:
    """The text in letters that the fonts have, on one line."""
    known = register_fonts()
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        " " if sign.isspace() else sign if ord(sign) in known else UNKNOWN for sign in composed
    )


def wrapped(text: str, font: str, size: float, width: float) -> list[str]:
    """The text in lines of this width, in points; a word that is longer is broken."""
    lines: list[str] = []
    line = ""
    for word in printable(text).split():
        longer = f"{line} {word}" if line else word
        if pdfmetrics.stringWidth(longer, font, size) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = ""
        for letter in word:
            if line and pdfmetrics.stringWidth(line + letter, font, size) > width:
                lines.append(line)
                line = ""
            line += letter
    return [*lines, line] if line else lines
