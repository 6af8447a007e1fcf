"""One app with real servers behind it, a ledger for each test, and workers in a thread."""

import itertools
import queue
import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from api.app import create_app
from api.state import NAME
from api.writer import Writer
from models import db
from models.ledger import LedgerRef
from pipeline.drain import drain
from pipeline.stage import STAGES
from tests.api.caller import Caller, token
from tests.api.proxy import Proxy, proxied
from tests.api.twins import Twins
from tests.api.writing import Rung
from tests.bank import new_ledger
from tests.conftest import environment_of


class Bellman:
    """Works every ledger that is rung for, as the workers would; unless it sleeps."""

    def __init__(self) -> None:
        self.awake = True
        self.rung: list[tuple[LedgerRef, int]] = []
        self._due: queue.SimpleQueue[LedgerRef | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ring(self, ledger: LedgerRef, upto: int) -> None:
        """What the app calls after a commit."""
        self.rung.append((ledger, upto))
        self._due.put(ledger)

    def stop(self) -> None:
        """End the thread."""
        self._due.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (ledger := self._due.get()) is not None:
            if self.awake:
                work(ledger)


def work(ledger: LedgerRef) -> None:
    """Every stage until nothing is left."""
    for stage in STAGES:
        while drain(stage, ledger).more:
            pass


@pytest.fixture(scope="package")
def environment(servers: dict[str, str]) -> Iterator[dict[str, str]]:
    """The servers' environment, for as long as this package's tests run."""
    with environment_of(servers) as monkeypatch:
        # All tests ask from one address; what bounds log-ins is tested by tests/gateway.
        monkeypatch.setenv("TRIDENT_RATE_LIMITS", "login:100000")
        yield servers


@pytest.fixture(scope="package")
def _bellman(environment: dict[str, str]) -> Iterator[Bellman]:
    ringing = Bellman()
    yield ringing
    ringing.stop()


@pytest.fixture
def bellman(_bellman: Bellman) -> Iterator[Bellman]:
    """The workers, awake."""
    _bellman.awake = True
    _bellman.rung.clear()
    yield _bellman
    _bellman.awake = True


@pytest.fixture
def asleep(bellman: Bellman) -> Bellman:
    """No worker works: operations stay as they were accepted."""
    bellman.awake = False
    return bellman


@pytest.fixture(scope="package")
def app(_bellman: Bellman) -> Iterator[Flask]:
    """The app, its writer and its listener running."""
    made = create_app(ring=_bellman.ring)
    yield made
    made.extensions[NAME].stop()


@pytest.fixture
def ledger(environment: dict[str, str]) -> LedgerRef:
    """An empty ledger."""
    return new_ledger()


@pytest.fixture
def api(app: Flask, ledger: LedgerRef, bellman: Bellman) -> Caller:
    """A caller with every role, at an empty ledger."""
    return Caller(app, ledger.name)


_tenants = itertools.count(1)


def _new_tenant(environment: dict[str, str], name: str) -> int:
    owner = db.make_engine(
        environment["TRIDENT_OWNER_DATABASE_URL"], statement_timeout_ms=5_000, trusted=True
    )
    with owner.begin() as connection:
        insert = "INSERT INTO tenants (name) VALUES (:name) RETURNING tenant_id"
        named = f"{name}-{next(_tenants)}"
        number = connection.execute(text(insert), {"name": named}).scalar_one()
    owner.dispose()
    return int(number)


@pytest.fixture(scope="package")
def other_tenant(environment: dict[str, str]) -> int:
    """The number of a second tenant."""
    return _new_tenant(environment, "other")


@pytest.fixture(scope="package")
def twin_tenant(environment: dict[str, str]) -> int:
    """The number of the tenant that does what the first one does."""
    return _new_tenant(environment, "twin")


@pytest.fixture
def twins(app: Flask, ledger: LedgerRef, bellman: Bellman, twin_tenant: int) -> Iterator[Twins]:
    """A caller of two tenants at once, each with an empty ledger of the same name."""
    made = Twins(app, ledger.name, twin_tenant)
    assert made.second.post("/v1/ledgers", {"name": ledger.name}).status_code == 201
    yield made
    made.check()


@pytest.fixture
def stranger(app: Flask, api: Caller, other_tenant: int) -> Caller:
    """Somebody of another tenant, with every role there, who asks for the same ledger's name."""
    return Caller(app, api.ledger, token(tenant_id=other_tenant))


@pytest.fixture
def proxy(environment: dict[str, str]) -> Iterator[Proxy]:
    """A proxy in front of Postgres."""
    with proxied(environment["TRIDENT_DATABASE_URL"]) as made:
        yield made


@pytest.fixture
def engine(proxy: Proxy) -> Iterator[Engine]:
    """An engine whose connections go through the proxy."""
    url = proxy.url.render_as_string(hide_password=False)
    made = db.make_engine(url, statement_timeout_ms=3_000)
    yield made
    made.dispose()


@pytest.fixture
def rung() -> Rung:
    """What the writer rang for."""
    return Rung()


@pytest.fixture
def writer(engine: Engine, rung: Rung) -> Iterator[Writer]:
    """A writer of its own for the test."""
    made = Writer(engine, rung, max_lag=1_000_000)
    yield made
    made.stop()
