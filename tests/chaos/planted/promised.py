"""Bugs that break what people, programs and those whom data is about were promised.

Each is put in while somebody does what shows it; without it the same shows nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pipeline.identity.sessions
import pipeline.privacy.subjects
import tasks.ring
from api.identity import key_look_up
from models.db import tenant_writing
from pipeline import events
from pipeline.identity import sessions
from tests.chaos.planted.real_servers import expect, servers
from tests.chaos.planted.report import EscapedError
from tests.chaos.planted.scene import Scene


class Bug(NamedTuple):
    """What is put in, and what somebody does then."""

    name: str
    put_in: Callable[[], AbstractContextManager[Any]]
    act: Callable[[Scene], None]


def refreshed_blindly(connection: Any, tenant_id: int, session_id: str, _generation: int) -> Any:
    """sessions.refresh, which asks for the session alone and not for what was brought."""
    seen = connection.execute(sessions.LOOK, {"tenant": tenant_id, "session": session_id}).one()
    return REFRESH(connection, tenant_id, session_id, seen.generation)


REFRESH = sessions.refresh
COUNTS = sessions.counts


def refresh_twice(scene: Scene) -> None:
    """The same refresh token two times, the second time after its successor was used."""
    session = scene.begin()
    for generation in (1, 2, 1):
        scene.refresh(session, generation)


@contextmanager
def ended_in_valkey_alone() -> Iterator[None]:
    """Whoever signs out is written down in Valkey, where each request looks, and nowhere else."""
    broker = tasks.ring.broker()

    def revoke(connection: Any, tenant: int, actor: str, session: str, _why: str) -> Any:
        broker.set(f"ended:{session}", "")
        told = events.Event("person.signed_out", actor, target=f"session:{session}")
        return events.record(connection, tenant, told)

    def counts(connection: Any, tenant: int, session: str, person: str, version: int) -> bool:
        ended = bool(broker.exists(f"ended:{session}"))
        return not ended and COUNTS(connection, tenant, session, person, version)

    with (
        mock.patch.object(sessions, "revoke", revoke),
        mock.patch.object(sessions, "counts", counts),
    ):
        yield


def use_after_a_flush(scene: Scene) -> None:
    """Sign out, FLUSHALL, and ask once more."""
    session = scene.begin()
    scene.end(session)
    tasks.ring.broker().flushall()
    scene.use(session)


def told_in_another_transaction(_connection: Any, tenant_id: int, event: events.Event) -> Any:
    """events.record, which commits by itself."""
    with tenant_writing(tenant_id) as connection:
        return events.record(connection, tenant_id, event)


def die_before_the_commit(scene: Scene) -> None:
    """A sign-out that nobody hears of."""
    scene.end(scene.begin(), dies=True)


def erase_somebody(scene: Scene) -> None:
    """Who is named by an operation is erased."""
    scene.pay()
    scene.erase()


@contextmanager
def revocation_not_asked_for() -> Iterator[None]:
    """An API key is looked up, whether it is revoked or not."""
    asks = " AND k.revoked_at IS NULL"
    statement = key_look_up.LOOK_UP.text
    assert asks in statement
    blind = key_look_up.text(statement.replace(asks, ""))
    with mock.patch.object(key_look_up, "LOOK_UP", blind):
        yield


BUGS = (
    Bug(
        "refresh without a look at whether it was used",
        lambda: mock.patch.object(sessions, "refresh", refreshed_blindly),
        refresh_twice,
    ),
    Bug("sign-out kept only in Valkey", ended_in_valkey_alone, use_after_a_flush),
    Bug(
        "event in a transaction of its own",
        lambda: mock.patch.object(
            pipeline.identity.sessions, "record", told_in_another_transaction
        ),
        die_before_the_commit,
    ),
    Bug(
        "erasure that leaves the key",
        lambda: mock.patch.object(pipeline.privacy.subjects, "destroy", return_value=True),
        erase_somebody,
    ),
    Bug("API key looked up, revoked or not", revocation_not_asked_for, Scene.use_a_revoked_key),
)


def on_servers(bug: Bug, template: Path | None) -> str:
    """As `show`, on servers of its own."""
    with servers(template):
        return show(bug)


def show(bug: Bug) -> str:
    """What the jack hammer's checks say of it; raises EscapedError."""
    sound = Scene()
    bug.act(sound)
    expect(not sound.violated(), f"without the bug: {sound.violated()}")
    scene = Scene()
    with ExitStack() as planted:
        planted.enter_context(bug.put_in())
        bug.act(scene)
    found = scene.violated()
    if not found:
        raise EscapedError("the checks of the jack hammer find nothing")
    return found[0]
