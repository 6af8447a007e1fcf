"""Where mail is handed over, in whose name, where its links lead, and how much of it there may be:
parts of the settings."""

from collections.abc import Callable, Mapping
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
MAILS_A_DAY = "TRIDENT_MAILS_A_DAY"
# Of each tenant. Few organisations invite more people on one day, and what sends a few hundred
# pieces of spam a day is of little use to spammers, and to the blocklists too.
A_DAY = 500


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
    """`sender` is who mail is from; `link`, if there is one, the page that takes a ticket; `a_day`,
    how many mails the admins of one tenant may have sent in 24 hours."""

    server: SmtpServer
    sender: Address
    link: str | None = None
    a_day: int = A_DAY

    def link_with(self, **members: str) -> str | None:
        """The address of the page with these members in its query."""
        if self.link is None:
            return None
        url = urlsplit(self.link)
        return url._replace(query=urlencode([*parse_qsl(url.query), *members.items()])).geturl()


def read(environ: Mapping[str, str], faults: dict[str, str]) -> MailSettings | None:
    """What the environment says of mail; None without a server. Each fault goes to its name."""
    found: dict[str, Any] = {}
    for name, read_one in READERS.items():
        text = environ.get(name, "")
        try:
            found[name] = read_one(text) if text else None
        except ValueError as error:
            faults[name] = f"{error}."
    for name, other in ((SMTP_URL, MAIL_FROM), (MAIL_FROM, SMTP_URL)):
        if environ.get(other) and not environ.get(name):
            faults[name] = f"{SMTP_URL} and {MAIL_FROM} go together; one is missing."
    server, sender = found.get(SMTP_URL), found.get(MAIL_FROM)
    if not server or not sender:
        return None
    return MailSettings(server, sender, found.get(LINK_URL), found.get(MAILS_A_DAY) or A_DAY)


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
    if not all(one is None or (one.isascii() and one.isprintable()) for one in (user, password)):
        raise ValueError("a user and a password are of ASCII characters, such as servers take")
    try:
        url.hostname.encode("idna")
    except UnicodeError:
        raise ValueError("its host is none that DNS could be asked for") from None
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


def _a_day(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ValueError("it is how many mails a day a tenant may have sent, such as 500")
    return int(text)


READERS: dict[str, Callable[[str], Any]] = {
    SMTP_URL: _server,
    MAIL_FROM: _sender,
    LINK_URL: _link,
    MAILS_A_DAY: _a_day,
}


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
