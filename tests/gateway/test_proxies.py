"""Who is in front: forwarded addresses count only where a known proxy has passed them on."""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

import pytest

from api.gateway.proxies import FORWARDED, Proxies, counted_as

CLIENT = "203.0.113.9"
TRUSTED = ("10.0.0.0/8", "192.0.2.1", "fd00::/8")


def seen(peer: str, headers: dict[str, str], trusted: tuple[str, ...] = TRUSTED) -> dict[str, Any]:
    """The environment that the application gets."""
    given: dict[str, Any] = {}

    def app(environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        given.update(environ)
        return []

    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "api.example"}
    said = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    Proxies(app, tuple(map(ip_network, trusted)))({**environ, **said}, None)
    return given


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        (CLIENT, "198.51.100.1", CLIENT),  # nobody we know says so
        ("10.1.2.3", CLIENT, CLIENT),
        ("::ffff:10.1.2.3", CLIENT, CLIENT),
        ("fd00::7", CLIENT, CLIENT),
        ("10.1.2.3", f"198.51.100.1, {CLIENT}", CLIENT),  # the left end is the client's invention
        ("10.1.2.3", f"198.51.100.1, {CLIENT}, 192.0.2.1, 10.9.9.9", CLIENT),
        ("10.1.2.3", f"10.7.7.7, {CLIENT}", CLIENT),
        ("10.1.2.3", f"198.51.100.1, {CLIENT}:5678, 192.0.2.1:99", CLIENT),
        ("10.1.2.3", "[2001:db8::1]:99, [fd00::1]", "2001:db8::1"),
        ("10.1.2.3", f"{CLIENT}, 198.51.100.1:", "10.1.2.3"),
        ("10.1.2.3", f"{CLIENT}, [::1]:99x", "10.1.2.3"),
        ("10.1.2.3", "10.7.7.7", "10.7.7.7"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "unknown", "10.1.2.3"),
        ("10.1.2.3", f"{CLIENT}, garbage", "10.1.2.3"),
        ("10.1.2.3", f"{CLIENT}, ", "10.1.2.3"),
        ("", CLIENT, ""),
    ],
)
def test_the_address_of_the_client(peer: str, forwarded: str, client: str) -> None:
    """Counted from the right, up to the first that is none of our proxies."""
    assert seen(peer, {"x-forwarded-for": forwarded})["REMOTE_ADDR"] == client


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",)])
def test_a_stranger_changes_nothing(trusted: tuple[str, ...]) -> None:
    """Whatever it says of itself, the application does not even see it."""
    names = [name.removeprefix("HTTP_").replace("_", "-").lower() for name in FORWARDED]
    environ = seen(CLIENT, dict.fromkeys(names, "https"), trusted)
    assert environ == seen(CLIENT, {}, trusted)


def test_a_known_proxy_says_how_it_was_asked() -> None:
    """Its word on the scheme is the last one; hosts are never taken from it."""
    said = {"x-forwarded-proto": "http, https", "x-forwarded-host": "evil.example"}
    environ = seen("10.1.2.3", said)
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_HOST"] == "api.example"
    assert seen("10.1.2.3", {"x-forwarded-proto": "gopher"})["wsgi.url_scheme"] == "http"


def test_an_ipv6_client_is_counted_by_its_network() -> None:
    """It has 2^64 addresses for itself; an IPv4 one has one."""
    assert (
        counted_as("2001:db8:1:2:3:4:5:6") == counted_as("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    )
    assert counted_as(CLIENT) == CLIENT
    assert counted_as("") == ""
