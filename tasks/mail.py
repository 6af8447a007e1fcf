"""The mail errand: what waits in the outbox is handed over to the mail server.

Rung for after the commit that wrote a mail, and asked for by beat. A mail is claimed in one
transaction, sent in none, and marked in another: nothing waits for the server but the errand. After
a process was killed between sending and marking it is sent again, under the same Message-ID.

At most one errand works at a time, and a server that is away is left alone for a while: a slow one
must not take all slots of the workers, which have money to move. One that answers, but takes so
long in all that the errand's time is up, is as good as away.
"""

import time
from collections.abc import Collection
from email.message import EmailMessage
from functools import lru_cache

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import text

from models.db import sweeper_engine, tenant_writing
from models.key_ring import key_ring
from models.ledger import LedgerRef
from models.mail import MailSettings
from models.settings import settings
from models.tenant import tenant_state
from pipeline.crash import crash_point
from pipeline.identity import mails
from pipeline.identity.errors import IdentityError
from pipeline.identity.mail_text import BadAddressError, compose
from pipeline.identity.mails import Mail
from pipeline.identity.tickets import LIVES, read, whose
from pipeline.privacy.data_keys import ErasedError
from tasks.app import app
from tasks.errands import Errands
from tasks.ring import BREAKER_S, broker, ring_now
from tasks.smtp import AwayError, LaterError, Postman, RefusedError

# Its task and its queue.
MAIL = "trident.mail"
# An errand leaves its worker to the stages soon; what is left the next one finds.
ENDS_AFTER_S = 5.0
# Who is at work says so here, for a little longer than a bell's time limit of 30 s.
BUSY_KEY = "trident:mailing"
BUSY_S = 40
# How long a server that was away is left alone: at the worst one slot waits 20 s of 50.
AWAY_S = 30
# An errand stops by itself, and says that the server is away, before a bell's time limit of 30 s
# kills its process.
STOPS_AFTER_S = 20
# A tenant that invites hundreds rings once a second: one errand sends them all.
SAME_TENANT_MIN_S = 1.0

log = structlog.get_logger("trident.mail")

# Who looks at all tenants sees numbers and times, and no people. They come in any order: where a
# server hangs up on all that one of them sends, the errand ends for those behind it, who come first
# in another.
TENANTS = text("""
    SELECT m.tenant_id, t.deleted_at IS NOT NULL AS deleted
      FROM mails m JOIN tenants t USING (tenant_id)
     WHERE m.next_at <= clock_timestamp()
     GROUP BY m.tenant_id, t.deleted_at ORDER BY random()
""")


# Without events, as the sweep: it would push the chains out of what Flower shows.
@app.task(name=MAIL, send_events=False, soft_time_limit=STOPS_AFTER_S)
def mail_task() -> None:
    """An errand, unless another is at work. Those that wait behind it want the same."""
    if not broker().set(BUSY_KEY, 1, nx=True, ex=BUSY_S):
        return
    broker().delete(MAIL)
    try:
        left = deliver()
    except (AwayError, SoftTimeLimitExceeded) as away:
        log.warning("mail_server_away", why=str(away) or type(away).__name__)
        broker().set(BUSY_KEY, 1, ex=AWAY_S)
        return
    broker().delete(BUSY_KEY)
    if left:
        ring_for_mail()


def deliver() -> bool:
    """Send what is due, tenant by tenant in turns, until the time is up; whether there is more.

    Raises AwayError.
    """
    with sweeper_engine().connect() as connection:
        rows = connection.execute(TENANTS).all()
    for tenant_id in (row.tenant_id for row in rows if row.deleted):
        with tenant_writing(tenant_id) as connection:
            mails.withdraw(connection, tenant_id, None)
    tenants = [row.tenant_id for row in rows if not row.deleted]
    ends = time.monotonic() + ENDS_AFTER_S
    with Postman() as postman:
        while tenants and time.monotonic() < ends:
            tenants = [tenant_id for tenant_id in tenants if _next(tenant_id, postman)]
    return bool(tenants)


def _next(tenant_id: int, postman: Postman) -> bool:
    """Send the tenant's next mail; whether there was one. Raises AwayError."""
    with tenant_writing(tenant_id) as connection:
        mail = mails.claim(connection, tenant_id)
    if mail is None:
        return False
    try:
        if mail.late:
            _give_up(mail, reason="late")
        else:
            _send(mail, postman)
    except (AwayError, SoftTimeLimitExceeded):
        raise
    except Exception as error:  # noqa: BLE001 - no mail's fault may keep the others waiting
        # Not its message: that of a server may name the receiver.
        named = {"tenant": tenant_id, "mail": mail.mail_id}
        log.error("mail_failed", error=type(error).__name__, **named)
    return True


def _send(mail: Mail, postman: Postman) -> None:
    how = settings().mail
    if how is None:
        raise AwayError("TRIDENT_SMTP_URL is not set for this worker")
    try:
        letter = _letter(mail, how)
        if letter is None:
            return
        postman.send(how, letter)
    except LaterError as later:
        log.info("mail_put_off", tenant=mail.tenant_id, mail=mail.mail_id, why=str(later))
    except RefusedError as refused:
        _give_up(mail, **refused.told)
    except BadAddressError:
        _give_up(mail, reason="address")
    else:
        crash_point("mail.after_sending")
        with tenant_writing(mail.tenant_id) as connection:
            mails.sent(connection, mail)


def _letter(mail: Mail, how: MailSettings) -> EmailMessage | None:
    """What is sent; None, and the mail is withdrawn, if its ticket counts for nobody now."""
    with tenant_writing(mail.tenant_id) as connection:
        tenant = tenant_state(connection, mail.tenant_id)
        try:
            ticket = mails.ticket_of(connection, key_ring(), mail)
            person = whose(connection, key_ring(), read(ticket, mail.purpose))
        except (ErasedError, IdentityError):
            mails.withdraw_one(connection, mail)
            return None
    assert tenant is not None, "its tickets count"
    assert person.email is not None, "their ticket counts"
    until = mail.made_at + LIVES[mail.purpose]
    return compose(how, mail.mail_id, mail.purpose, ticket, person.email, tenant.name, until)


def _give_up(mail: Mail, **why: str | int) -> None:
    with tenant_writing(mail.tenant_id) as connection:
        recorded = mails.give_up(connection, mail, **why)
    log.warning("mail_given_up", tenant=mail.tenant_id, mail=mail.mail_id, **why)
    if recorded is not None:
        ring_now({recorded.ledger: recorded.position})


def ring_for_mail() -> None:
    """Ask for an errand; raises the broker's errors."""
    mail_task.apply_async(queue=MAIL)


def _ring(_due: dict[LedgerRef, int]) -> Collection[LedgerRef]:
    ring_for_mail()
    return ()


@lru_cache
def mail_ringer() -> Errands:
    """The process's ringing thread for mail. Made on first use, so never before a fork.

    What wrote a mail recorded an event as well: it is added as the ringer (ring.py) is told of it.
    """
    return Errands(
        "mail-ringer",
        _ring,
        every_s=lambda _many: SAME_TENANT_MIN_S,
        rest_s=SAME_TENANT_MIN_S,
        pause_s=BREAKER_S,
    )
