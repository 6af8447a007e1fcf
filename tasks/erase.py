"""The erasing errand: subjects whose retention has ended are erased, as was asked for; and each
night the schedules of retention are carried out (retain.py).

Each is erased in a transaction of its own, together with its event: whoever is killed between two
has done the first, and the next errand does the second. Two errands at once do each once.
"""

from collections.abc import Iterable, Iterator

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.db import sweeper_engine, tenant_reading, tenant_writing
from pipeline.identity.errors import IdentityError
from pipeline.privacy.subjects import erase_if_due, postpone
from tasks.app import app
from tasks.retain import retain
from tasks.ring import broker, ring_now

# Its task and its queue.
ERASE = "trident.erase"
# An erasure takes about 10 ms and a bell has 30 s; the next errand goes on.
ONCE_MAX = 500

log = structlog.get_logger("trident.erase")
alert = structlog.get_logger("trident.alert")

# Who looks at all tenants sees no names of subjects: those are personal. Deleted tenants' events
# cannot be told, so their subjects wait until those are restored.
TENANTS = text("""
    SELECT s.tenant_id
      FROM subjects s JOIN tenants t ON t.tenant_id = s.tenant_id AND t.deleted_at IS NULL
     WHERE s.erase_due_at <= clock_timestamp()
     GROUP BY s.tenant_id ORDER BY min(s.erase_due_at), s.tenant_id
""")
DUE = text("""
    SELECT subject FROM subjects
     WHERE tenant_id = :tenant AND erase_due_at <= clock_timestamp()
     ORDER BY erase_due_at, subject LIMIT :many
""")


@app.task(name=ERASE)
def erase_task() -> None:
    """Beat's errand. Those that wait behind it want the same."""
    broker().delete(ERASE)
    erase_due()
    if retain():
        erase_task.apply_async(queue=ERASE)


def erase_due() -> int:
    """Erase the subjects whose day has come; how many."""
    with sweeper_engine().connect() as connection:
        tenants = connection.execute(TENANTS).scalars().all()
    erased = 0
    for tenant_id, subject in _due(tenants):
        try:
            with tenant_writing(tenant_id) as connection:
                recorded = erase_if_due(connection, tenant_id, subject)
        except DBAPIError as error:  # a tenant deleted meanwhile; or held for too long: next time
            log.error("erasure_failed", tenant=tenant_id, error=type(error.orig).__name__)
            continue
        except IdentityError as error:  # the last owner stays until there is another one
            alert.error("erasure_postponed", tenant=tenant_id, subject=subject, why=error.code)
            with tenant_writing(tenant_id) as connection:
                postpone(connection, tenant_id, subject)
            continue
        if recorded is not None:
            erased += 1
            ring_now({recorded.ledger: recorded.position})
    if erased:
        log.info("subjects_erased", count=erased)
    return erased


def _due(tenants: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Whose day has come, tenant by tenant; no more than one errand can do."""
    left = ONCE_MAX
    for tenant_id in tenants:
        with tenant_reading(tenant_id) as connection:
            wanted = {"tenant": tenant_id, "many": left}
            subjects = connection.execute(DUE, wanted).scalars().all()
        yield from ((tenant_id, subject) for subject in subjects)
        left -= len(subjects)
        if not left:
            return
