"""docs/security.md promises nothing without a test that is there."""

import ast
import re
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
# How many sections each chapter of ASVS 5.0.0 has.
ASVS = dict(enumerate((5, 4, 7, 4, 4, 8, 6, 4, 2, 7, 7, 3, 4, 3, 4, 5, 3), start=1))
# V11.1, V11.1 to V11.3 with a dash between them, or V17.
SECTIONS = re.compile(r"\bV(\d+)(?:\.(\d+)(?: \S V\1\.(\d+))?)?(?!\.?\d)")
NAMED = re.compile(r"`((?:\w+/)*\w+\.py)(?:::(\w+))?`")


def rows() -> list[list[str]]:
    """The cells of each row of the tables that name tests."""
    tables = PAGE.partition("## What is promised")[2]
    found = [line.strip("| ").split(" | ") for line in tables.splitlines() if line.startswith("|")]
    return [cells for cells in found if "shown by" not in cells and not cells[0].startswith("---")]


def test_every_test_that_is_named_is_there() -> None:
    """By its file and its name."""
    named = {found.groups() for found in NAMED.finditer(PAGE)}
    assert len(named) > 50
    for file, name in sorted(named, key=str):
        path = TESTS / file
        assert path.is_file(), f"docs/security.md names tests/{file}, which is not there"
        defined = {
            node.name
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        assert name is None or name in defined, f"tests/{file} has no {name}"


def sections(text: str) -> list[str]:
    """Those of ASVS that are named: a span of them as each, and a chapter as all of its own."""
    found = []
    for chapter, first, last in SECTIONS.findall(text):
        low, high = (int(first), int(last or first)) if first else (1, ASVS[int(chapter)])
        found += [f"V{chapter}.{number}" for number in range(low, high + 1)]
    return found


def test_every_row_names_a_test() -> None:
    """Without one it is no promise."""
    assert [cells[0] for cells in rows() if not NAMED.search(cells[-1])] == []


def test_every_section_of_asvs_is_named_once() -> None:
    """In a row, or with the reason why it does not apply or is not reached."""
    left_out = re.findall(r"^(?:Do not apply|Not reached): .*?\.$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(left_out) == 2
    named = sections(" ".join([cells[0] for cells in rows()] + left_out))
    every = [f"V{chapter}.{n}" for chapter, many in ASVS.items() for n in range(1, many + 1)]
    assert len(every) == 80
    assert Counter(named) == Counter(every)


def test_every_risk_of_the_list_has_a_row() -> None:
    """API1 to API10."""
    first = [cells[0].partition(" ")[0] for cells in rows()]
    assert [one for one in first if one.startswith("API")] == [f"API{n}" for n in range(1, 11)]
