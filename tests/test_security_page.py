"""docs/security.md promises nothing without a test that is there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
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


def test_every_row_names_a_test() -> None:
    """Or says that it does not apply."""
    bare = [cells[0] for cells in rows() if not NAMED.search(cells[-1])]
    assert bare == ["API7 server-side request forgery"]


def test_every_risk_of_the_list_has_a_row() -> None:
    """API1 to API10."""
    first = [cells[0].partition(" ")[0] for cells in rows()]
    assert [one for one in first if one.startswith("API")] == [f"API{n}" for n in range(1, 11)]
