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
