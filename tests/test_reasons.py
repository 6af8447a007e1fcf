"""A security rule that is silenced in production code has its reason beside it."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
SILENCED = re.compile(r"#\s*(?:noqa:\s*(?:[A-Z]+\d+,\s*)*S\d+(?:,\s*[A-Z]+\d+)*|nosec\b)(.*)")


@pytest.mark.parametrize("folder", ["api", "cli", "models", "pipeline", "tasks"])
def test_every_silenced_security_rule_says_why(folder: str) -> None:
    """`noqa: S…` and `nosec` are followed by words."""
    bare = [
        f"{path.relative_to(HERE)}: {line.strip()}"
        for path in sorted((HERE / folder).rglob("*.py"))
        for line in path.read_text().splitlines()
        if (found := SILENCED.search(line)) and not re.search(r"[a-z]{3}", found[1])
    ]
    assert bare == []


def test_no_secret_is_made_by_another_chance() -> None:
    """`random` is drawn from nowhere: secrets, ids and keys come from the system's source."""
    draws = re.compile(r"^\s*(?:import|from) random\b", re.MULTILINE)
    folders = (HERE / name for name in ("api", "cli", "models", "pipeline", "tasks"))
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    assert len(paths) > 100
    assert [path for path in paths if draws.search(path.read_text())] == []
