"""A network that misbehaves: a TCP proxy in front of Postgres, in a thread of its own.

delay       every chunk waits a moment, in both directions
cut         connections are reset
black hole  a COMMIT gets through, its answer never comes, and the connection stays open
"""

import asyncio
import random
import threading
from collections.abc import Callable
from contextlib import suppress

CHUNK = 1 << 16
# What accept and the stages send at the end of their work, in one message with their rows.
WRITING = (b"INSERT INTO", b"EXECUTE accept_insert")
# The thread answers at once, unless the machine is very busy.
ANSWER_S = 30.0


class Proxy:
    """Forwards bytes between the app processes and Postgres. Its methods are for any thread."""

    def __init__(self, upstream_port: int, seed: str) -> None:
        self._upstream_port = upstream_port
        self._random = random.Random(seed)
        self._connections: set[_Connection] = set()
        self._delay_s = 0.0
        self._holes = 0  # commits that are yet to be swallowed
        self._hold_s = 0.0
        self.swallowed = 0  # commits whose answer never came
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-proxy", daemon=True)
        self._thread.start()
        assert self._up.wait(ANSWER_S), "the proxy does not start"

    def delay(self, up_to_s: float) -> None:
        """Let every chunk wait up to so long; 0 ends it."""
        self._delay_s = up_to_s

    def swallow(self, commits: int, hold_s: float) -> None:
        """Let the next commits through, keep their answers, and close the connection much later."""
        self._holes, self._hold_s = commits, hold_s

    def cut(self, share: float) -> int:
        """Reset this share of the connections, at least one if there is any; how many."""
        return self._call(lambda: self._cut(share))

    def heal(self) -> None:
        """No more faults; connections that were swallowed are reset."""
        self._delay_s, self._holes = 0.0, 0
        self._call(self._end_holes)

    def close(self) -> None:
        """End every connection and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _call(self, act: Callable[[], int]) -> int:
        async def ask() -> int:
            return act()

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result(ANSWER_S)

    def _cut(self, share: float) -> int:
        living = sorted(self._connections, key=lambda one: one.number)
        many = min(len(living), max(1, round(share * len(living))))
        for connection in self._random.sample(living, many):
            connection.reset()
        return many

    def _end_holes(self) -> int:
        deaf = [connection for connection in self._connections if connection.deaf]
        for connection in deaf:
            connection.reset()
        return len(deaf)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        self._loop.run_forever()
        server.close()
        for connection in list(self._connections):
            connection.reset()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            writer.transport.abort()  # Postgres is down: so it looks to the client
            return
        connection = _Connection((writer, upstream[1]))
        self._connections.add(connection)
        try:
            pumps = [
                asyncio.ensure_future(self._to_server(connection, reader, upstream[1])),
                asyncio.ensure_future(self._to_client(connection, upstream[0], writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _to_server(
        self, connection: "_Connection", reader: asyncio.StreamReader, to: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._dawdle()
                if self._holes and b"COMMIT" in data and any(word in data for word in WRITING):
                    self._holes -= 1
                    self.swallowed += 1
                    connection.deaf = True
                    self._loop.call_later(self._hold_s, connection.reset)
                to.write(data)
                await to.drain()

    async def _to_client(
        self, connection: "_Connection", reader: asyncio.StreamReader, to: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._dawdle()
                if not connection.deaf:
                    to.write(data)
                    await to.drain()

    async def _dawdle(self) -> None:
        if self._delay_s:
            await asyncio.sleep(self._random.uniform(0, self._delay_s))


class _Connection:
    """Both ends of one connection."""

    count = 0

    def __init__(self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        _Connection.count += 1
        self.number = _Connection.count
        self.deaf = False  # what the server says is thrown away
        self._ends = ends

    def reset(self) -> None:
        """Drop both ends without a word."""
        for end in self._ends:
            end.transport.abort()
