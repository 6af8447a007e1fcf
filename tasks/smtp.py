"""Handing mail over, by SMTP.

MailError
├── AwayError ──── the server takes nothing from us just now
├── LaterError ─── it does not take this mail just now
└── RefusedError ─ it will never take this mail
"""

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from types import TracebackType
from typing import Self

from models.mail import MailSettings

# Of each word from and to the server. A relay answers within a second; a worker's slot that waits
# for one is not there for money.
TIMEOUT_S = 10
# RFC 5321 section 4.2.1: from here on it is for good.
FOR_GOOD = 500
# Section 3.8: the server has closed the connection.
CLOSING = 421


class MailError(Exception):
    """The mail was not taken."""

    def __init__(self, why: str, code: int | None = None) -> None:
        # No words of the server: they may name the receiver.
        super().__init__(why if code is None else f"{why}, {code}")
        self.told: dict[str, str | int] = {"reason": why} | ({} if code is None else {"code": code})


class AwayError(MailError):
    """The server does not take anything just now: the other mails wait as well."""


class LaterError(MailError):
    """The server does not take this mail just now."""


class RefusedError(MailError):
    """The server will never take this mail."""


class Postman:
    """Keeps one connection for all mails of an errand, from the first one on."""

    def __init__(self) -> None:
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._smtp is None:
            return
        if kind is None:  # else it may be waited for in vain
            with suppress(smtplib.SMTPException, OSError):
                self._smtp.quit()
        self._smtp.close()

    def send(self, settings: MailSettings, message: EmailMessage) -> None:
        """Hand it over; raises MailError."""
        smtp = self._connection(settings)
        receiver = message["To"].addresses[0].addr_spec
        try:
            smtp.send_message(message, settings.sender.addr_spec, [receiver])
        except smtplib.SMTPRecipientsRefused as error:
            code, _ = error.recipients[receiver]
            raise self._of_mail("recipient", code) from None
        except smtplib.SMTPDataError as error:
            raise self._of_mail("content", error.smtp_code) from None
        except smtplib.SMTPResponseException as error:  # it is not the mail's fault who we are
            raise AwayError("sender", error.smtp_code) from None
        except (smtplib.SMTPException, OSError) as error:
            raise AwayError(type(error).__name__) from None

    def _connection(self, settings: MailSettings) -> smtplib.SMTP:
        if self._smtp is None:
            try:
                self._smtp = _connect(settings)
            except smtplib.SMTPResponseException as error:
                raise AwayError(type(error).__name__, error.smtp_code) from None
            except (smtplib.SMTPException, OSError) as error:  # ssl.SSLError is one
                raise AwayError(type(error).__name__) from None
        return self._smtp

    def _of_mail(self, what: str, code: int) -> MailError:
        if code == CLOSING:  # smtplib has closed it: the next mail takes another one
            self._smtp = None
        return (RefusedError if code >= FOR_GOOD else LaterError)(what, code)


def _connect(settings: MailSettings) -> smtplib.SMTP:
    server, me = settings.server, settings.sender.domain
    verified = ssl.create_default_context()
    if server.way.tls:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, me, timeout=TIMEOUT_S, context=verified
        )
    else:
        smtp = smtplib.SMTP(server.host, server.port, me, timeout=TIMEOUT_S)
    try:
        if server.way.starttls:
            smtp.starttls(context=verified)
        if server.user is not None and server.password is not None:
            smtp.login(server.user, server.password)
    except BaseException:
        smtp.close()
        raise
    return smtp
