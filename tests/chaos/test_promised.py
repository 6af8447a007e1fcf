"""The jack hammer's checks of people, keys and personal data find what is planted."""

import pytest

from tests.chaos.planted import promised


@pytest.mark.parametrize("bug", promised.BUGS, ids=[bug.name for bug in promised.BUGS])
def test_a_broken_promise_is_found(env: dict[str, str], bug: promised.Bug) -> None:
    """With the bug they find something, without it nothing."""
    assert promised.show(bug)
