"""Bugs with people and personal data that need servers of their own: guards go, data is in clear.

Where two layers guard, each is taken away alone first, and the other holds; then both go.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from sqlalchemy import Update, column, make_url, text, tuple_, update
from sqlalchemy.exc import IntegrityError

import pipeline.rewrap
import tasks.ring
from cli.stack import passwords, postgres
from cli.stack.datadir import SUPERUSER
from cli.stack.files import write_private
from cli.stack.home import Home
from models import keks
from models.db import owner_engine, tenant_reading
from models.key_ring import Wrapped, key_ring
from models.settings import settings
from pipeline.identity import sessions
from pipeline.rewrap import COLUMNS, WrappedColumn, rewrap
from tests.chaos.planted.real_servers import expect, owner, servers
from tests.chaos.planted.report import EscapedError
from tests.chaos.planted.scene import Scene
from tests.chaos.planted.tenants import NO_POLICY
from tests.chaos.privacy import sealed_everywhere, superuser

NO_GUARDS = (
    "ALTER TABLE data_keys DISABLE TRIGGER USER",
    "ALTER TABLE data_keys DROP CONSTRAINT IF EXISTS data_keys_check",
)
# An erasure that can, has long been committed by then.
ERASES_WITHIN_S = 0.5
WAIT_S = 10.0


def stored_in_clear(template: Path | None) -> str:
    """An edge that seals nothing: rows, and the files of Postgres, have it in clear."""
    with servers(template) as home:
        Scene().pay()
        expect(not in_clear(home), f"in clear without the bug: {in_clear(home)}")
        with mock.patch("tests.chaos.planted.scene.seal_all", lambda _c, _r, _l, many: many):
            Scene().pay()
        found = in_clear(home)
        expect("rows of operations" in str(found), f"the rows are not looked at: {found}")
        return found[0]


def in_clear(home: Path) -> list[str]:
    """Where the jack hammer's check finds what is personal."""
    port = make_url(str(settings().database_url)).port
    assert port is not None
    engine = superuser(postgres.url(port, SUPERUSER, passwords.load(Home(home).secrets)))
    with engine.connect() as connection:
        finding = sealed_everywhere(connection, tasks.ring.broker(), home)
    engine.dispose()
    return [one.message for one in finding.violations]


def rewrapped_after_erasure(template: Path | None) -> str:
    """Keys that are wrapped anew whatever became of them bring one back that was erased."""
    with servers(template) as home:
        file = Home(home).keks
        expect(not erased_meanwhile(file), "an erased key is back without the bug")
        with blindly():
            try:
                erased_meanwhile(file)
            except IntegrityError:
                pass
            else:
                raise EscapedError("the guard alone does not hold")
        owner(*NO_GUARDS)
        expect(not erased_meanwhile(file), "the look alone does not hold")
        with blindly():
            found = erased_meanwhile(file)
        expect(bool(found), "the bug did no harm")
        return found[0]


@contextmanager
def blindly() -> Iterator[None]:
    """A row is written whatever became of it since it was read."""

    def change(one: WrappedColumn, row: Any, anew: Wrapped) -> Update:
        its_key = tuple_(*map(column, one.key)) == tuple_(*row[: len(one.key)])
        changed = {one.wrapped: anew.data, one.kek: anew.kek}
        return update(pipeline.rewrap._table(one)).where(its_key).values(changed)

    with mock.patch.object(pipeline.rewrap, "_change", change):
        yield


def erased_meanwhile(file: Path) -> list[str]:
    """Somebody is erased while their key is wrapped anew; what the jack hammer's checks find."""
    scene = Scene()
    scene.pay()
    write_private(file, f"{keks.new_entry()}\n{file.read_text()}")
    erases = threading.Thread(target=scene.erase)
    anew = pipeline.rewrap._anew

    def slowly(ring: Any, one: Any, row: Any) -> Any:
        if not erases.ident:
            erases.start()
            erases.join(ERASES_WITHIN_S)
        return anew(ring, one, row)

    (keys,) = (one for one in COLUMNS if one.table == "data_keys")
    try:
        with mock.patch.object(pipeline.rewrap, "_anew", slowly), owner_engine() as engine:
            rewrap(engine, key_ring(), keys)
    finally:
        erases.join(WAIT_S)
    return scene.violated()


def sessions_of_anybody(template: Path | None) -> str:
    """Without the filter and without the policy a tenant finds, and ends, another's sessions."""
    with servers(template):
        ours, theirs = Scene(), Scene()
        session = theirs.begin()
        expect(not found_by(ours, session), "a foreign session is found without the bug")
        with without_tenant_filter():
            expect(not found_by(ours, session), "the policy alone does not hold")
        owner(*(statement.format(table="sessions") for statement in NO_POLICY))
        expect(not found_by(ours, session), "the filter alone does not hold")
        with without_tenant_filter():
            expect(found_by(ours, session), "the bug did no harm")
        return f"tenant {ours.tenant_id} finds a session of tenant {theirs.tenant_id}"


def without_tenant_filter() -> Any:
    """A session is looked up by its id alone."""
    blind = sessions.LOOK.text.replace("tenant_id = :tenant AND", "")
    assert blind != sessions.LOOK.text
    return mock.patch.object(sessions, "LOOK", text(blind))


def found_by(scene: Scene, session: str) -> bool:
    """Whether the tenant finds whose session it is."""
    with tenant_reading(scene.tenant_id) as connection:
        return sessions.owner_of(connection, scene.tenant_id, session) is not None
