"""Where the fakes are put in: the outermost edges of the code under test, and nothing within it."""

import os
from collections import Counter
from types import SimpleNamespace
from typing import Any

import api.parcel
import api.writer
import models.db
import models.operation
import pipeline.audit
import pipeline.drain
import pipeline.due
import pipeline.heads
import pipeline.judge
import pipeline.poison
import pipeline.stage
import pipeline.through
import tasks.due
import tasks.errands
import tasks.ring
import tasks.shown
import tasks.stages
import tasks.sweep

# A simulation is a process of its own (never a test's), so nothing is put back.
ENVIRONMENT = {
    "TRIDENT_HOME": "/nonexistent",  # no running stack's settings are mixed in
    "TRIDENT_DATABASE_URL": "postgresql://simulated/",
    "TRIDENT_BROKER_URL": "memory://",
    "TRIDENT_KEKS": f"simulated:{'A' * 43}=",
}


class Recorder:
    """A log that counts events and writes nothing."""

    def __init__(self, events: Counter[str]) -> None:
        self._events = events

    def info(self, event: str, **_: Any) -> None:
        """Count it, whatever its level."""
        self._events[event] += 1

    debug = warning = error = exception = critical = info


class Randomness:
    """What `import secrets` gives models.operation."""

    def __init__(self, rng: Any) -> None:
        self.randbits = rng.getrandbits


def set_environment() -> None:
    """Name servers, so that settings can be read; nobody ever connects to them."""
    for name in [name for name in os.environ if name.startswith("TRIDENT_")]:
        del os.environ[name]
    os.environ.update(ENVIRONMENT)


def put_in(world: Any) -> None:
    """Lead the code under test to the world's fakes."""
    servers, processes = world.servers, world.processes
    log = Recorder(processes.events)
    for module in (
        api.writer,
        pipeline.drain,
        pipeline.heads,
        tasks.due,
        tasks.errands,
        tasks.shown,
        tasks.stages,
        tasks.sweep,
    ):
        put(module, time=world.clock)
    for module in (
        api.writer,
        pipeline.drain,
        pipeline.heads,
        tasks.due,
        tasks.errands,
        tasks.ring,
        tasks.shown,
        tasks.stages,
        tasks.sweep,
    ):
        put(module, log=log)
    for module in (pipeline.stage, pipeline.poison, pipeline.audit):
        put(module, alert=log)
    pipeline.drain.learned.clear()
    put(pipeline.drain, RUN_OPERATIONS=world.plan.run_operations, app_engine=processes.engine)
    put(pipeline.stage, RUN_BYTES=world.plan.run_bytes)
    put(pipeline.heads, store=lambda: servers.heads)
    put(models.db, app_engine=processes.engine)
    put(models.operation, secrets=Randomness(world.rng))
    put(tasks.sweep, CAREFUL_AFTER=world.plan.careful_after)
    put(tasks.sweep, BELLS_ENOUGH=world.plan.bells_enough)
    put(tasks.ring, BELLS_ENOUGH=world.plan.bells_enough)
    put(tasks.stages, keeper=processes.keeper)
    put(pipeline.through, FEW=world.plan.few, app_engine=processes.engine)
    put(pipeline.judge, FEW=world.plan.many)
    put(tasks.shown, app=servers.broker, show=lambda *_: None)
    put(tasks.sweep, sweeper_engine=processes.engine, broker=lambda: servers.broker)
    put(tasks.ring, broker=lambda: servers.broker, ring_chain=servers.broker.ring_chain)
    put(pipeline.due, app_engine=processes.engine)
    put(tasks.due, sweeper_engine=processes.engine, broker=lambda: servers.broker)
    put(tasks.due, settings=lambda: SimpleNamespace(max_lag=world.plan.max_lag))
    put(tasks.errands, threading=world.threading)
    put(api.parcel, threading=world.threading)
    # A class keeps a bound method as it is, so the thread itself comes as its only argument.
    put(api.writer._Thread, start=lambda thread: processes.start_writer(thread))  # noqa: PLW0108
    put(api.writer._Thread, is_alive=lambda _: True)


def put(module: Any, **parts: Any) -> None:
    """Replace names of the module, which must be there."""
    for name, part in parts.items():
        assert hasattr(module, name), f"{module.__name__} has no {name} any more"
        setattr(module, name, part)
