"""A stand-in for Redis with Celery on top: queues of bells, and the keys beside them.

A message may be dropped, doubled, delayed and overtaken, all of it may be flushed, and the server
may be away for a while. A chain's next message is published when its task has ended, by whoever ran
it, unless the task has dropped the rest of it. A message is acknowledged before it is worked: who
dies takes it along.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

import redis
from kombu.exceptions import OperationalError

from pipeline.stage import STAGES
from tasks.ring import WAITING_S
from tests.chaos.schedule import Condition, Scheduler

DELAY_MAX_S = 3.0


class Message(NamedTuple):
    """One task of a chain: its stage and its arguments."""

    stage: str
    bell: list[list[Any]]
    careful: bool


def request_of(message: Message) -> Any:
    """What Celery gives a bound task: the rest of its chain, the next one last, is its to drop."""
    rest = STAGES[STAGES.index(message.stage) + 1 :]
    return SimpleNamespace(chain=list(reversed(rest)))


class FakeBroker:
    """The server. `step(what)` is a switch point; `strikes(fault)` says if a fault happens now."""

    def __init__(
        self,
        scheduler: Scheduler,
        step: Callable[[str], None],
        strikes: Callable[[str], bool],
        choose: Callable[[], float],
    ) -> None:
        self._scheduler = scheduler
        self._step = step
        self._strikes = strikes
        self._choose = choose
        self._queues: dict[str, list[Message]] = {stage: [] for stage in STAGES}
        self._arrival = Condition(scheduler)
        self._expires: dict[str, float] = {}
        self._hashes: dict[str, dict[bytes, bytes]] = {}
        self.away_until = 0.0

    def flush(self) -> None:
        """FLUSHALL."""
        for queue in self._queues.values():
            queue.clear()
        self._expires.clear()
        self._hashes.clear()

    def take(self) -> Message:
        """The next message for a worker: the furthest downstream first, as the workers ask."""
        while True:
            full = [stage for stage in reversed(STAGES) if self._queues[stage]]
            if full:
                overtaken = self._strikes("reorder")
                queue = self._queues[full[int(self._choose() * len(full)) if overtaken else 0]]
                message = queue.pop(int(self._choose() * len(queue)) if overtaken else 0)
                self._step(f"take {message.stage}")
                return message
            self._arrival.wait()

    def publish(self, message: Message) -> None:
        """Put a message into its queue; raises what kombu does when the server is away."""
        self._step(f"publish {message.stage}")
        if self._scheduler.now < self.away_until:
            raise OperationalError("the broker is away")
        if self._strikes("drop"):
            return
        copies = 2 if self._strikes("double") else 1
        for _ in range(copies):
            if self._strikes("delay"):
                due = self._scheduler.now + self._choose() * DELAY_MAX_S
                self._scheduler.at(due, lambda: self._arrive(message))
            else:
                self._arrive(message)

    def publish_next(self, message: Message, chain: list[str] | None) -> None:
        """The chain goes on, if anything is left of it. Without a broker it ends here."""
        if chain:
            try:
                self.publish(message._replace(stage=chain[-1]))
            except OperationalError:
                return

    def ring_chain(self, bell: list[list[Any]], _says: str, *, careful: bool = False) -> None:
        """tasks.chain.ring_chain."""
        self.publish(Message(STAGES[0], bell, careful))

    @property
    def pool(self) -> Self:
        """Celery's pool of connections to the broker."""
        return self

    @contextmanager
    def acquire(self, block: bool, timeout: float) -> Iterator[None]:
        """What Flower is told goes through here."""
        self._step("show what is done")
        if self._scheduler.now < self.away_until:
            raise OperationalError("the broker is away")
        yield

    def _arrive(self, message: Message) -> None:
        self._queues[message.stage].append(message)
        self._arrival.notify()

    # What redis.Redis is asked for.

    def pipeline(self, transaction: bool = True) -> "Pipeline":
        """Commands that are sent together."""
        return Pipeline(self)

    def delete(self, *names: str) -> None:
        """DEL."""
        self.command("delete " + " ".join(names))
        self.do_delete(*names)

    def llen(self, name: str) -> int:
        """LLEN."""
        self.command(f"llen {name}")
        return len(self._queues[name.removeprefix("trident.")])

    def hgetall(self, name: str) -> dict[bytes, bytes]:
        """HGETALL."""
        self.command(f"hgetall {name}")
        return dict(self._hashes.get(name, {}))

    def hset(self, name: str, key: str, value: str) -> None:
        """HSET."""
        self.command(f"hset {name} {key}")
        self.do_hset(name, {key: value})

    def hdel(self, name: str, *keys: str) -> None:
        """HDEL."""
        self.command(f"hdel {name} {' '.join(keys)}")
        for key in keys:
            self._hashes.get(name, {}).pop(key.encode(), None)

    def command(self, what: str) -> None:
        """The way to the server: it may be away."""
        self._step(what)
        if self._scheduler.now < self.away_until:
            raise redis.ConnectionError("the broker is away")

    def do_set(self, name: str) -> bool | None:
        """SET NX EX."""
        if self._expires.get(name, 0.0) > self._scheduler.now:
            return None
        self._expires[name] = self._scheduler.now + WAITING_S
        return True

    def do_delete(self, *names: str) -> None:
        """DEL, at the server."""
        for name in names:
            self._expires.pop(name, None)
            self._hashes.pop(name, None)

    def do_hset(self, name: str, mapping: dict[Any, str]) -> None:
        """HSET, at the server."""
        members = self._hashes.setdefault(name, {})
        members |= {str(key).encode(): value.encode() for key, value in mapping.items()}


class Pipeline:
    """redis.client.Pipeline."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker
        self._commands: list[tuple[str, Callable[[], Any]]] = []

    def set(self, name: str, value: int, *, nx: bool, ex: int) -> None:
        """SET NX EX."""
        assert (value, nx, ex) == (1, True, WAITING_S)
        self._commands.append((f"set {name}", lambda: self._broker.do_set(name)))

    def delete(self, name: str) -> None:
        """DEL."""
        self._commands.append((f"delete {name}", lambda: self._broker.do_delete(name)))

    def hset(self, name: str, mapping: dict[Any, str]) -> None:
        """HSET."""
        self._commands.append((f"hset {name}", lambda: self._broker.do_hset(name, mapping)))

    def execute(self) -> list[Any]:
        """Send them."""
        self._broker.command(", ".join(what for what, _ in self._commands))
        return [act() for _, act in self._commands]
