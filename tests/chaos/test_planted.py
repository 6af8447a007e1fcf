"""Bugs planted on purpose are found: what cannot fail proves nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.planted import scenarios

ROOT = Path(__file__).parents[2]
LIMIT_S = 240


def test_the_simulation_finds_what_is_planted() -> None:
    """Each planted fault of interleaving is found, and nothing is found where none is."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.planted", "--only", "simulated"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(scenarios.SCENARIOS.keys() - scenarios.LONG))
def test_real_servers_show_what_is_planted(template: Path, name: str) -> None:
    """Each layer alone holds; without both the harm is done, and it is seen."""
    assert scenarios.catch(name, template).by
