"""The usual ports, or others when somebody has those."""

import socket
from collections.abc import Iterator

import pytest

from cli.stack.ports import ANY, HOST, Port


@pytest.fixture
def number() -> int:
    """A port that is free now."""
    port = Port(ANY)
    port.close()
    return port.number


@pytest.fixture
def listener(number: int) -> Iterator[socket.socket]:
    """A server of somebody else on that port."""
    with socket.create_server((HOST, number)) as server:
        yield server


def test_a_free_port_is_taken_as_asked(number: int) -> None:
    """The usual port is used when nobody has it."""
    port = Port(number)
    assert port.number == number
    port.close()


@pytest.mark.usefixtures("listener")
def test_a_taken_port_gives_another(number: int) -> None:
    """Where another server has the usual port, a free one is used."""
    port = Port(number)
    assert port.number not in (number, 0)
    port.close()


def test_a_kept_port_is_not_given_twice(number: int) -> None:
    """Two stacks that start at the same moment get different ports, before any server listens."""
    first, second = Port(number), Port(number)
    assert first.number == number
    assert second.number != number
    first.close()
    second.close()


def test_our_own_server_may_use_the_kept_port(number: int) -> None:
    """A port is kept from others only: a server of ours, started again and again, gets it."""
    port = Port(number)
    for _ in range(2):
        with socket.create_server((HOST, number)) as server:
            assert server.getsockname()[1] == number
    port.close()


@pytest.fixture
def echo(number: int, listener: socket.socket) -> int:
    """The number of a port that a server left within the last minute, connections closed."""
    client = socket.create_connection((HOST, number))
    accepted, _ = listener.accept()
    accepted.close()  # The server closes first, so the waiting is on its side.
    client.close()
    listener.close()
    return number


def test_a_restart_finds_its_usual_port(echo: int) -> None:
    """Connections that the last server closed keep nobody from its port."""
    port = Port(echo)
    assert port.number == echo
    port.close()


def test_a_port_with_echoes_is_not_given_twice(echo: int) -> None:
    """Two stacks that start within a minute of a third one's end get different ports."""
    first, second = Port(echo), Port(echo)
    assert first.number == echo
    assert second.number != echo
    first.close()
    second.close()
