"""A home of its own for each test that starts something."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stack.home import Home
from tests.conftest import copy_home, temporary_home


@pytest.fixture
def home(no_stack: None) -> Iterator[Home]:
    """An empty TRIDENT_HOME."""
    with temporary_home() as root:
        yield Home(root)


@pytest.fixture
def made(home: Home, template: Path) -> Home:
    """A TRIDENT_HOME whose servers have been made already."""
    copy_home(template, home.root)
    return home
