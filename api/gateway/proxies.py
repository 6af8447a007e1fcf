"""Who is in front: addresses that a proxy passes on count only where the proxy is a known one.

Anybody can send `X-Forwarded-For`. So what stands in such headers is taken away, unless the peer is
one of TRIDENT_TRUSTED_PROXIES. Then the list is read from the right, which is the end that our own
proxies wrote, up to the first address that is none of them.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from models.settings import Network

FORWARDED = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PREFIX",
    "HTTP_X_REAL_IP",
)
SCHEMES = ("http", "https")
# Some proxies write a port behind the address, and brackets around an IPv6 one (RFC 3986).
WITH_PORT = re.compile(r"(?:\[([^]]+)]|([0-9.]+))(?::[0-9]{1,5})?")
# A household or a server has a /64, and as many addresses in it as it likes.
IPV6_PREFIX = 64

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Proxies:
    """The application, told the client's own address and scheme."""

    def __init__(self, app: Wsgi, trusted: tuple[Network, ...]) -> None:
        self._app = app
        self._trusted = trusted

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        said = {name: environ.pop(name) for name in FORWARDED if name in environ}
        if said and self._trusted and self._is_ours(environ.get("REMOTE_ADDR", "")):
            self._believe(environ, said)
        return self._app(environ, start_response)

    def _believe(self, environ: dict[str, Any], said: dict[str, str]) -> None:
        for hop in reversed(said.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            address = _address(_without_port(hop.strip()))
            if address is None:
                break
            environ["REMOTE_ADDR"] = str(address)
            if not self._is_ours(str(address)):
                break
        scheme = said.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
        if scheme in SCHEMES:
            environ["wsgi.url_scheme"] = scheme

    def _is_ours(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)


# Clients ask again and again, and parsing an address takes longer than counting it.
@lru_cache(maxsize=10_000)
def counted_as(text: str) -> str:
    """Under what an address is counted: IPv6 by its network, which one client has to itself."""
    address = _address(text)
    if isinstance(address, IPv6Address):
        network = ip_network((address, IPV6_PREFIX), strict=False)
        assert isinstance(network, IPv6Network)
        return str(network)
    return text


def _without_port(hop: str) -> str:
    found = WITH_PORT.fullmatch(hop)
    return hop if found is None else found[1] or found[2]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, an IPv4 one that was mapped into IPv6 as itself; None if it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
