"""Time zones by name, from the locked package `tzdata` and never from the machine.

Two machines with different time zones would disagree on when a schedule is due, and so on what the
log means.
"""

from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo


@lru_cache
def zone_names() -> frozenset[str]:
    """The names of IANA, such as Europe/Zurich."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split())


@lru_cache
def find_zone(name: str) -> ZoneInfo:
    """The zone; raises LookupError where there is none of this name."""
    if name not in zone_names():
        raise LookupError(f"There is no time zone {name}.")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
