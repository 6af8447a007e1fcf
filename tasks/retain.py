"""The retaining errand: each night the schedules of all tenants are carried out, part by part.

Every part is a transaction (pipeline/privacy/retention.py). An errand does what fits its time, and
asks to be rung again for the rest; whoever is killed is followed by the next one.
"""

import datetime as dt
import time

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.db import sweeper_engine, tenant_writing
from pipeline.events import Recorded
from pipeline.privacy import retention
from pipeline.privacy.retention import Night
from tasks.ring import ring_now

# A bell has 30 s, and planned erasures go before (tasks/erase.py).
ERRAND_S = 15.0

log = structlog.get_logger("trident.retain")

# A night begins at two in the morning, UTC, by the clock of the database. Deleted tenants' events
# cannot be told, so their data waits until those are restored.
NIGHT = text("SELECT CAST(clock_timestamp() AT TIME ZONE 'UTC' - interval '2 hours' AS date)")
TENANTS = text("""
    SELECT t.tenant_id FROM tenants t LEFT JOIN retention_runs r USING (tenant_id)
     WHERE t.deleted_at IS NULL
       AND (r.night IS NULL OR r.night < :night OR r.night = :night AND r.ended_at IS NULL)
     ORDER BY r.night NULLS FIRST, t.tenant_id
""")


def retain(errand_s: float = ERRAND_S) -> bool:
    """Carry out what is left of the night; whether there is more."""
    until = time.monotonic() + errand_s
    with sweeper_engine().connect() as connection:
        date: dt.date = connection.execute(NIGHT).scalar_one()
        tenants = connection.execute(TENANTS, {"night": date}).scalars().all()
    for tenant_id in tenants:
        try:
            if not _carry_out(Night(tenant_id, date), until):
                return True
        except DBAPIError as error:  # deleted meanwhile; or held for too long: next time
            log.error("retention_failed", tenant=tenant_id, error=type(error.orig).__name__)
    return False


def _carry_out(night: Night, until: float) -> bool:
    """Whether it was done in time."""
    return _erase_subjects(night, until) and _erase_people(night, until) and _delete(night, until)


def _erase_subjects(night: Night, until: float) -> bool:
    while time.monotonic() < until:
        with tenant_writing(night.tenant_id) as connection:
            run = retention.begin(connection, night)
            found = None if run is None else retention.look(connection, night, run)
        if run is None or found is None:
            return True
        if not _erase(night, found.old, until):
            return False
        with tenant_writing(night.tenant_id) as connection:
            retention.go_on(connection, night, run, found.last)
    return False


def _erase_people(night: Night, until: float) -> bool:
    with tenant_writing(night.tenant_id) as connection:
        run = retention.begin(connection, night)
        old = [] if run is None else retention.old_people(connection, night, run)
    return _erase(night, old, until)


def _erase(night: Night, subjects: list[str], until: float) -> bool:
    for subject in subjects:
        if time.monotonic() >= until:
            return False
        with tenant_writing(night.tenant_id) as connection:
            recorded = retention.erase(connection, night, subject)
        _ring(recorded)
    return True


def _delete(night: Night, until: float) -> bool:
    more = True
    while more:
        if time.monotonic() >= until:
            return False
        with tenant_writing(night.tenant_id) as connection:
            more = retention.delete(connection, night)
    with tenant_writing(night.tenant_id) as connection:
        recorded = retention.end(connection, night)
    _ring(recorded)
    return True


def _ring(recorded: Recorded | None) -> None:
    if recorded is not None:
        ring_now({recorded.ledger: recorded.position})
