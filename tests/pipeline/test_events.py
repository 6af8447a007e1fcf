"""Events: recorded with what they tell of, sealed as operations are, and proved by verify."""

import datetime as dt
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from models.db import set_tenant, tenant_reading, tenant_writing
from models.key_ring import key_ring
from models.ledger import EVENTS, LedgerRef, event_ledger, find_ledger, ledgers_of
from models.sealed import TamperedError
from models.tenant import owner_writing
from pipeline.came_from import AGENT_MAX_LENGTH, WHENCE, CameFrom
from pipeline.events import (
    ACTIONS,
    LOOK_MAX,
    Event,
    Page,
    Wanted,
    read_page,
    record,
    whence,
)
from pipeline.privacy.data_keys import destroy, key_of
from pipeline.tenants import create
from pipeline.verify.finding import first_fault
from pipeline.verify.verify import verify
from tests.bank import Bank

_numbers = iter(range(1, 1000))


@pytest.fixture
def tenant_id(env: dict[str, str]) -> int:
    """A tenant of its own, with one event: that it was created."""
    with owner_writing() as connection:
        tenant, _ = create(connection, f"events-{next(_numbers)}", "cli:test")
    return tenant.tenant_id


def events_of(tenant_id: int) -> Bank:
    """The tenant's log of events."""
    with tenant_reading(tenant_id) as connection:
        ledger = event_ledger(connection, tenant_id)
    assert ledger is not None
    return Bank(ledger)


def tell(tenant_id: int, actor: str = "cli:test", outcome: str = "done") -> None:
    """Record an event in a transaction of its own."""
    with tenant_writing(tenant_id) as connection:
        record(connection, tenant_id, Event("ledger.created", actor, outcome))


def make(tenant_id: int, action: str, *, fails: bool = False) -> None:
    """Make a ledger and tell of it, in one transaction."""
    with tenant_writing(tenant_id) as connection:
        insert = "INSERT INTO ledgers (tenant_id, name) VALUES (:tenant, 'made')"
        connection.execute(text(insert), {"tenant": tenant_id})
        record(connection, tenant_id, Event(action, "cli:test"))
        if fails:
            raise RuntimeError


def page(tenant_id: int, **wanted: object) -> Page:
    """The newest events."""
    with tenant_reading(tenant_id) as connection:
        return read_page(connection, tenant_id, Wanted(**{"limit": 50, **wanted}))  # type: ignore[arg-type]


def test_an_event_passes_the_five_stages_and_is_sealed(tenant_id: int) -> None:
    """Before audit it is told as not sealed; afterwards as sealed, and verify proves its ledger."""
    assert [told.sealed for told in page(tenant_id).events] == [False]
    bank = events_of(tenant_id)
    bank.work()
    (told,) = page(tenant_id).events
    assert told.sealed
    assert told.body == {
        "action": "tenant.created",
        "actor": "cli:test",
        "outcome": "done",
        "target": told.body["target"],
    }
    assert bank.rows("SELECT code FROM rejections WHERE ledger_id = :ledger") == []
    assert first_fault(verify(bank.ledger)) is None


def test_a_changed_event_is_found(tenant_id: int) -> None:
    """Whoever gets past the append-only guards changes no event without verify's notice."""
    bank = events_of(tenant_id)
    bank.work()
    with owner_writing() as connection:
        set_tenant(connection, tenant_id)
        connection.execute(text("ALTER TABLE operations DISABLE TRIGGER operations_append_only"))
        connection.execute(
            text(
                "UPDATE operations SET body = replace(body::text, 'cli:test', 'cli:mary')::json"
                " WHERE tenant_id = :tenant"
            ),
            {"tenant": tenant_id},
        )
        connection.execute(
            text("ALTER TABLE operations ENABLE ALWAYS TRIGGER operations_append_only")
        )
    fault = first_fault(verify(bank.ledger))
    assert fault is not None
    assert "1" in str(fault)


def test_action_and_event_are_both_there_or_neither(tenant_id: int) -> None:
    """What fails after its event was recorded takes the event with it, and the other way round."""
    with pytest.raises(RuntimeError):
        make(tenant_id, "ledger.created", fails=True)
    with pytest.raises(AssertionError):
        make(tenant_id, "nobody.knows")
    with tenant_reading(tenant_id) as connection:
        assert [ledger.name for ledger in ledgers_of(connection, tenant_id)] == ["main"]
    assert [told.body["action"] for told in page(tenant_id).events] == ["tenant.created"]
    tell(tenant_id)  # what the rolled back transactions prepared serves still
    assert [told.position for told in page(tenant_id).events] == [2, 1]


def test_events_of_many_at_once_stand_one_behind_the_other(tenant_id: int) -> None:
    """Twenty transactions at the same time: twenty positions, no gap."""
    threads = [threading.Thread(target=tell, args=(tenant_id, f"cli:{n}")) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = page(tenant_id).events
    assert [told.position for told in found] == list(range(21, 0, -1))
    assert {told.body["actor"] for told in found} == {"cli:test", *(f"cli:{n}" for n in range(20))}


def test_events_are_found_by_action_actor_and_time(tenant_id: int) -> None:
    """All filters must fit; pages follow each other without gap or repetition."""
    tell(tenant_id, "cli:ada")
    tell(tenant_id, "cli:bob", outcome="refused")
    third = page(tenant_id).events[0]
    tell(tenant_id, "cli:ada")
    assert [told.position for told in page(tenant_id, actor="cli:ada").events] == [4, 2]
    assert [told.position for told in page(tenant_id, action="tenant.created").events] == [1]
    assert page(tenant_id, action="tenant.created", actor="cli:ada") == Page([], None)
    assert [told.position for told in page(tenant_id, since=third.at).events] == [4, 3]
    assert [told.position for told in page(tenant_id, until=third.at).events] == [2, 1]
    first = page(tenant_id, limit=2, actor="cli:ada")
    assert first.following is None
    seen, before = [], None
    while True:
        found = page(tenant_id, limit=3, before=before)
        seen += [told.position for told in found.events]
        before = found.following
        if before is None:
            break
    assert seen == [4, 3, 2, 1]


def test_a_page_looks_at_a_bounded_number_of_events(
    tenant_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where few fit it ends early, empty if need be, and the next one goes on from there."""
    assert LOOK_MAX >= 1_000
    monkeypatch.setattr("pipeline.events.LOOK_MAX", 2)
    for _ in range(4):
        tell(tenant_id, "cli:ada")
    first = page(tenant_id, actor="cli:test")
    assert first == Page([], 4)
    second = page(tenant_id, actor="cli:test", before=first.following)
    assert second == Page([], 2)
    third = page(tenant_id, actor="cli:test", before=second.following)
    assert [told.position for told in third.events] == [1]
    assert third.following is None


def test_the_ledger_of_events_has_no_name_for_clients(tenant_id: int) -> None:
    """It is neither found by its name nor listed, and the application cannot make another such."""
    with tenant_reading(tenant_id) as connection:
        assert find_ledger(connection, tenant_id, EVENTS) is None
        assert EVENTS not in [ledger.name for ledger in ledgers_of(connection, tenant_id)]
    with tenant_writing(tenant_id) as connection:
        insert = text("INSERT INTO ledgers (tenant_id, name) VALUES (:tenant, 'trident-mine')")
        with pytest.raises(ProgrammingError, match="row-level security"):
            connection.execute(insert, {"tenant": tenant_id})


def test_a_tenant_sees_no_events_of_another(tenant_id: int) -> None:
    """The log of events is bound by row-level security as every log is."""
    with tenant_reading(1) as connection:
        assert event_ledger(connection, tenant_id) is None
        assert read_page(connection, tenant_id, Wanted(50)) == Page([], None)


def test_a_tenant_that_is_inserted_by_hand_has_events_too(env: dict[str, str]) -> None:
    """The database makes the ledger, whoever makes the tenant."""
    with owner_writing() as connection:
        insert = "INSERT INTO tenants (name) VALUES ('by-hand') RETURNING tenant_id"
        made = int(connection.execute(text(insert)).scalar_one())
    bank = events_of(made)
    assert isinstance(bank.ledger, LedgerRef)
    tell(made)
    assert len(page(made).events) == 1


def test_the_docs_name_each_action() -> None:
    """docs/tenants.md has a line for each, in the same words."""
    page = (Path(__file__).parents[2] / "docs" / "tenants.md").read_text()
    for action, sentence in ACTIONS.items():
        assert f"| `{action}` | {sentence} |" in page


def test_whence_an_actor_asked_is_sealed_and_erased_with_the_actor(
    tenant_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log a ciphertext; it opens at its own place; who has no key is erased by the month."""
    came_from = CameFrom("canary-address", "canary-agent" + "x" * AGENT_MAX_LENGTH)
    monkeypatch.setattr("pipeline.came_from._asked_from", lambda: came_from)
    with tenant_writing(tenant_id) as connection:
        key_of(connection, key_ring(), tenant_id, "person:pe_1", make=True)
        for actor in ("person:pe_1", "key:ak_1"):
            record(connection, tenant_id, Event("ledger.created", actor))
    events = page(tenant_id).events
    assert ["from" in told.body for told in events] == [True, True, False]
    month = WHENCE.format(dt.datetime.now(dt.UTC))
    assert [told.body["from"].get("of") for told in events[:2]] == [month, None]
    bank = events_of(tenant_id)
    logged = bank.rows("SELECT body::text FROM operations WHERE ledger_id = :ledger")
    assert "canary" not in str(logged)
    with tenant_reading(tenant_id) as connection:
        one, found = whence(connection, key_ring(), tenant_id, events).values()
        moved = [told._replace(key="trident:event:other") for told in events]
        body, origin = events[0].body, {"key": 1, "of": month}
        changed = [origin, origin | {"sealed": "a"}, origin | {"sealed": "é"}]
        cut = [[events[0]._replace(body=body | {"from": one})] for one in changed]
        for tampered in (moved, *cut):
            with pytest.raises(TamperedError):
                whence(connection, key_ring(), tenant_id, tampered)
    assert one == found == ("canary-address", came_from.agent[:AGENT_MAX_LENGTH])
    bank.work()
    with tenant_writing(tenant_id) as connection:
        assert destroy(connection, tenant_id, "person:pe_1")
        left = whence(connection, key_ring(), tenant_id, events)
        assert list(left) == [events[0].position]
        assert destroy(connection, tenant_id, month)
        for actor in ("person:pe_1", "key:ak_1"):
            record(connection, tenant_id, Event("ledger.created", actor))
    bank.work()
    newer = page(tenant_id).events
    assert ["from" in told.body for told in newer] == [False, False, True, True, False]
    with tenant_reading(tenant_id) as connection:
        assert whence(connection, key_ring(), tenant_id, newer) == {}
    assert first_fault(verify(bank.ledger)) is None
