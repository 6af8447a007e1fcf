"""Where mail is handed over, in whose name, and where its links lead: parts of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.policy import SMTP
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

SMTP_URL = "TRIDENT_SMTP_URL"
MAIL_FROM = "TRIDENT_MAIL_FROM"
LINK_URL = "TRIDENT_LINK_URL"


class Way(NamedTuple):
    """A way to speak: its port, unless the URL has one, and whether TLS is there from the start or
    is asked for."""

    port: int
    tls: bool = False
    starttls: bool = False


# RFC 8314 has the ports. Unencrypted, passwords and tickets are anybody's who stands in between:
# on loopback nobody does, and elsewhere whoever wants that says so.
WAYS = {
    "smtp": Way(25),
    "smtp+unencrypted": Way(25),
    "smtp+starttls": Way(587, starttls=True),
    "smtps": Way(465, tls=True),
}
LOOPBACK = "localhost"


@dataclass(frozen=True)
class SmtpServer:
    """Who takes mail."""

    host: str
    port: int
    way: Way
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class MailSettings:
    """`sender` is who mail is from; `link`, if there is one, the page that takes a ticket."""

    server: SmtpServer
    sender: Address
    link: str | None = None

    def link_with(self, **members: str) -> str | None:
        """The address of the page with these members in its query."""
        if self.link is None:
            return None
        url = urlsplit(self.link)
        return url._replace(query=urlencode([*parse_qsl(url.query), *members.items()])).geturl()


def read(environ: Mapping[str, str], faults: dict[str, str]) -> MailSettings | None:
    """What the environment says of mail; None without a server. Each fault goes to its name."""
    found: dict[str, Any] = {}
    for name, read_one in ((SMTP_URL, _server), (MAIL_FROM, _sender), (LINK_URL, _link)):
        text = environ.get(name, "")
        try:
            found[name] = read_one(text) if text else None
        except ValueError as error:
            faults[name] = f"{error}."
    for name, other in ((SMTP_URL, MAIL_FROM), (MAIL_FROM, SMTP_URL)):
        if environ.get(other) and not environ.get(name):
            faults[name] = f"{SMTP_URL} and {MAIL_FROM} go together; one is missing."
    server, sender = found.get(SMTP_URL), found.get(MAIL_FROM)
    return MailSettings(server, sender, found.get(LINK_URL)) if server and sender else None


def _server(text: str) -> SmtpServer:
    url = _split(text)
    way = WAYS.get(url.scheme)
    if way is None or not url.hostname or url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError(f"it is SCHEME://USER:PASSWORD@HOST:PORT with one of {', '.join(WAYS)}")
    if url.scheme == "smtp" and not _is_loopback(url.hostname):
        raise ValueError(
            f"smtp:// is not encrypted, and {url.hostname} is another machine: use smtps:// or"
            " smtp+starttls://, or say smtp+unencrypted://"
        )
    if (url.username is None) != (url.password is None):
        raise ValueError("a user and a password go together; one is missing")
    user, password = (None if one is None else unquote(one) for one in (url.username, url.password))
    return SmtpServer(url.hostname, url.port or way.port, way, user, password)


def _sender(text: str) -> Address:
    try:
        header = SMTP.header_factory("From", text)
        (sender,) = header.addresses
    except (ValueError, MessageError, IndexError):
        raise ValueError("it is one address: no-reply@example.com") from None
    whole = sender.username and sender.domain and sender.addr_spec.isascii()
    if header.defects or not whole:
        raise ValueError("it is one address: no-reply@example.com")
    return sender


def _link(text: str) -> str:
    url = _split(text)
    safe = url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.hostname or ""))
    if not safe or not url.hostname or url.username or url.fragment or not text.isprintable():
        raise ValueError("it is the address of a page, https://HOST/PATH, without a #fragment")
    return text


def _split(text: str) -> SplitResult:
    """Raises ValueError, which holds no password."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise ValueError("it is no URL that can be read") from None
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == LOOPBACK or ip_address(host).is_loopback
    except ValueError:
        return False
