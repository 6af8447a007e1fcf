"""The jack hammer, briefly: one seed, every fault, and every invariant."""

from pathlib import Path

from tests.chaos import jackhammer
from tests.chaos.report import as_text
from tests.conftest import copy_home, temporary_home

SEED = 1
SECONDS = 20.0
# The invariants are strict. How much happens in so short a time depends on who else is at work.
ACKNOWLEDGED_MIN = 20


def test_nothing_is_lost_or_doubled_under_faults(no_stack: None, template: Path) -> None:
    """Whatever is killed, stopped, cut, flushed or set wrong, every promise holds afterwards."""
    with temporary_home() as home:
        copy_home(template, home)
        report = jackhammer.run(home, SEED, SECONDS)
    assert not report.violations, as_text(report)
    assert report.figures["acknowledged operations"] >= ACKNOWLEDGED_MIN, report.figures
    assert all(report.struck.values()), f"some faults never struck: {report.struck}"
