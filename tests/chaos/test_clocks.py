"""Clocks that are wrong, or are set right again: the sweeper must not depend on them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bank import Bank, new_ledger
from tests.chaos.installation import Installation, Options, installed, wait_until
from tests.conftest import copy_home, temporary_home

AHEAD_S = 3600.0
# Beat looks at its clock once a second, and the clock at its file five times.
NOTICED_S = 2.0
# Two looks of the sweeper and a chain of five; the rest is for a machine that is busy.
SWEPT_S = 15.0


@pytest.fixture
def installation(no_stack: None, template: Path) -> Iterator[Installation]:
    """A worker and beat. Nobody rings but the sweeper: operations are accepted right here."""
    with temporary_home() as home:
        copy_home(template, home)
        with installed(home, Options(processes=("worker", "beat")), seed=0) as running:
            yield running


def swept(says: str) -> None:
    """An operation for which nobody rings becomes final."""
    bank = Bank(new_ledger())
    bank.open("a")
    notified = "SELECT last_position(1, :ledger, 'notify')"
    wait_until(lambda: bank.rows(notified)[0][0] == 1, says, SWEPT_S)


def test_the_sweeper_goes_on_when_clocks_are_wrong(installation: Installation) -> None:
    """Whichever clock is ahead or set back by an hour, what nobody rang for is found."""
    swept("the sweeper rings")
    for name in ("worker", "beat"):
        clock = installation.clock_file(name)
        clock.write_text(str(AHEAD_S))
        time.sleep(NOTICED_S)
        swept(f"the sweeper rings while the clock of {name} is an hour ahead")
        clock.unlink()
        time.sleep(NOTICED_S)
        swept(f"the sweeper rings after the clock of {name} was set back by an hour")
