"""A mail server on loopback, and what came to it."""

import logging
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from weakref import finalize

from aiosmtpd.controller import Controller

from cli.stack.ports import ANY, HOST, Port

# It logs every word that it is told; what our own logs hold is looked at.
logging.getLogger("mail.log").setLevel(logging.WARNING)
TICKET = re.compile(r"ticket=([\w.-]+)|_token\": \"([\w.-]+)\"")


class PostOffice:
    """Takes mail while it is open. `refuses` has the answer to receivers that it does not take;
    whoever names one of `hates` is hung up on."""

    def __init__(self, **more: Any) -> None:
        kept = Port(ANY)  # also while it is closed: nobody else gets its mail
        finalize(self, kept.close)
        self.port = kept.number
        self.came: list[tuple[str, EmailMessage]] = []
        self.refuses: dict[str, str] = {}
        self.hates: set[str] = set()
        self._more = more
        self._controller: Controller | None = None

    def to(self, receiver: str) -> list[EmailMessage]:
        """What came to this address."""
        return [message for address, message in self.came if address == receiver]

    @contextmanager
    def open(self) -> Iterator[None]:
        """Take mail while the context lasts."""
        self.start()
        try:
            yield
        finally:
            self.close()

    def start(self) -> None:
        """Take mail from now on."""
        self._controller = Controller(self, hostname=HOST, port=self.port, **self._more)
        self._controller.start()

    def close(self) -> None:
        """Take no more; those who ask are turned away."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_RCPT(
        self, server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Take the receiver or not."""
        if address in self.hates:
            server.transport.close()
        refusal = self.refuses.get(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Take the mail."""
        message = message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default)
        self.came += [(address, message) for address in envelope.rcpt_tos]
        return "250 OK"


def ticket_in(message: EmailMessage) -> str:
    """The ticket that a mail brings."""
    found = TICKET.search(message.get_content())
    assert found is not None, message.get_content()
    return found[1] or found[2]


def serving(certificate: Any, key: Any) -> ssl.SSLContext:
    """What a server with this certificate speaks TLS with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
