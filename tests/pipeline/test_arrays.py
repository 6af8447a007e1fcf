"""Columns as array literals: Postgres reads back what was written, whatever it is."""

import pytest
from sqlalchemy import text

from models.db import tenant_reading
from pipeline import arrays


@pytest.mark.parametrize(
    "column",
    [
        [],
        [""],
        ["plain", "two words", "a,b", "{}", "NULL", "null"],
        ['"quoted"', "\\", '\\"', 'end\\"', "\\\\N", "'", "new\nline\ttab"],
        [None],
        ["one", None, "", '"', None],
        ["Grüße", "日本", "😀", "\x01"],
    ],
)
@pytest.mark.usefixtures("env")
def test_texts_come_back_as_they_were(column: list[str | None]) -> None:
    """Any text, and NULL, survives the way into a text[] and back."""
    with tenant_reading(1) as connection:
        query = text("SELECT CAST(:column AS text[])")
        assert connection.execute(query, {"column": arrays.texts(column)}).scalar_one() == column


@pytest.mark.parametrize("column", [["\x00"], ["a\x00b", "c"], [None, "\x00"]])
def test_a_text_with_a_nul_character_is_refused(column: list[str | None]) -> None:
    """NUL, which Postgres cannot store, never makes two texts of one."""
    with pytest.raises(ValueError, match="NUL"):
        arrays.texts(column)
