"""A home of its own for each test that starts something."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stack.home import Home


@pytest.fixture
def home(no_stack: None) -> Iterator[Home]:
    """An empty TRIDENT_HOME, outside pytest's own folders: those are shut for other users."""
    with tempfile.TemporaryDirectory(prefix="trident-test-") as root:
        yield Home(Path(root).resolve())
