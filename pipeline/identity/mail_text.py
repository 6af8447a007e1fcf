"""What a mail says: as little as its receiver needs, and nothing that somebody else has written.

Names of people are left out: whoever may choose one could send any text to anybody.
"""

import datetime as dt
import unicodedata
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from models.mail import MailSettings

SUBJECTS = {"invitation": "Your invitation", "reset": "Choose a new password"}
FIRST_LINES = {
    "invitation": "You are invited to {tenant}. Choose a password to sign in there.",
    "reset": "Somebody, perhaps you, wants to choose a new password for you at {tenant}.",
}
WITH_LINK = "Choose it here, until {until}:"
WITH_REQUEST = "Choose it with this request, until {until}:"
REQUESTS = {
    "invitation": ("/v1/invitations/accept", "invitation_token"),
    "reset": ("/v1/password-resets/accept", "reset_token"),
}
LAST_LINES = (
    "Whoever has this mail can do it in your place: do not pass it on.\n"
    "If you expected no such mail, there is nothing to do: it ends by itself."
)


class BadAddressError(ValueError):
    """What was stored as an e-mail address cannot be one of a mail."""


def compose(
    settings: MailSettings,
    mail_id: str,
    purpose: str,
    ticket: str,
    email: str,
    tenant: str,
    until: dt.datetime,
) -> EmailMessage:
    """The mail that brings a ticket, which counts until then; raises BadAddressError.

    However often it is made, its Message-ID is the same: of two copies programs show one.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.sender
    message["To"] = _receiver(email)
    message["Subject"] = SUBJECTS[purpose]
    message["Date"] = format_datetime(dt.datetime.now(dt.UTC))
    message["Message-ID"] = f"<{mail_id}@{settings.sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
    link = settings.link_with(purpose=purpose, ticket=ticket)
    path, member = REQUESTS[purpose]
    request = f'POST {path}\n\n{{"{member}": "{ticket}", "password": "..."}}'
    how = (WITH_REQUEST if link is None else WITH_LINK).format(until=f"{until:%Y-%m-%d %H:%M} UTC")
    first = FIRST_LINES[purpose].format(tenant=tenant)
    message.set_content("\n\n".join((first, how, link or request, LAST_LINES)) + "\n")
    return message


def _receiver(email: str) -> Address:
    """All servers take hosts as DNS has them; few take other letters than ASCII before the @."""
    name, _, host = email.rpartition("@")
    try:
        return Address(addr_spec=f"{name}@{_host(host)}")
    except (ValueError, MessageError, IndexError):  # what its parser raises of nonsense
        raise BadAddressError("Nobody can be named so in a mail.") from None


def _host(host: str) -> str:
    """As DNS has it; raises ValueError.

    An address by number, or of `localhost`, is one of the mail server's own network, where no
    tenant has anybody to invite.
    """
    _, dot, top = host.rpartition(".")
    if not dot or not top[0:1].isalpha():
        raise ValueError("The host is no name of the Internet.")
    written = unicodedata.normalize("NFC", host).lower()
    asked_for = host.encode("idna")
    # IDNA 2003 makes another host of some names: that of somebody else has ss in place of its ß.
    if not host.isascii() and asked_for.decode("idna") != written:
        raise ValueError("DNS would be asked for another host than is written.")
    return asked_for.decode()
