"""Bodies that are announced and not sent take few threads, and none of others."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from api.identity.readers import OF_ADDRESS_MAX, READERS_MAX, _reading
from tests.identity.conftest import House
from tests.identity.waiting import eventually

REFRESH = "/v1/sessions/refresh"


class Slow(io.RawIOBase):
    """A body that comes when the event is set."""

    def __init__(self, sent: threading.Event) -> None:
        self._sent = sent

    def readable(self) -> bool:
        """As werkzeug asks."""
        return True

    def readinto(self, _buffer: Any) -> int:
        """Nothing, in the end."""
        self._sent.wait()
        return 0


def refresh(house: House, body: Any, address: str) -> int:
    """The status of a try from this address."""
    with house.app.test_client() as client:
        return client.post(
            REFRESH,
            content_type="application/json",
            environ_overrides={
                "wsgi.input": body,
                "CONTENT_LENGTH": "300",
                "REMOTE_ADDR": address,
            },
        ).status_code


def test_slow_bodies_leave_threads_for_others(house: House) -> None:
    """So many of one address, so many of all; who sends its body takes the place of nobody."""
    sent = threading.Event()
    addresses = [f"10.9.0.{number // OF_ADDRESS_MAX}" for number in range(READERS_MAX)]
    with ThreadPoolExecutor(READERS_MAX) as pool:
        try:
            slow = [
                pool.submit(refresh, house, Slow(sent), one) for one in addresses[:OF_ADDRESS_MAX]
            ]
            eventually(lambda: _reading.total() == OF_ADDRESS_MAX, within_s=10)
            assert refresh(house, io.BytesIO(b"{}"), addresses[0]) == 503
            assert refresh(house, io.BytesIO(b"{}"), "10.9.1.1") == 400
            slow += [
                pool.submit(refresh, house, Slow(sent), one) for one in addresses[OF_ADDRESS_MAX:]
            ]
            eventually(lambda: _reading.total() == READERS_MAX, within_s=10)
            assert refresh(house, io.BytesIO(b"{}"), "10.9.1.1") == 503
            assert house.admin().get("/v1/people").status_code == 200
        finally:
            sent.set()
        assert {one.result() for one in slow} == {400}
    assert not _reading
