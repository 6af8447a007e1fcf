"""Who is in a run: two tenants, and in each two people and a program; and an owner of it all."""

from models.db import tenant_reading
from models.ledger import LedgerRef, event_ledger, find_ledger
from models.tenant import owner_writing
from pipeline import tenants as acts
from tests.chaos.acts import PERSONS, PROGRAM, Actor, Asker, Tenant, tenant
from tests.chaos.history import Act, History
from tests.chaos.installation import Installation
from tests.chaos.owner import Owner
from tests.chaos.people import PASSWORD, Person, Program, email_of

TENANTS = ("north", "south")


def make_tenants() -> tuple[list[Tenant], dict[str, LedgerRef]]:
    """Two tenants, each with a ledger `main`, made as its operator would."""
    made, ledgers = [], {}
    for name in TENANTS:
        with owner_writing() as connection:
            tenant_id = acts.create(connection, name, "cli:chaos")[0].tenant_id
        made.append(tenant(name, tenant_id))
        with tenant_reading(tenant_id) as connection:
            ledger = find_ledger(connection, tenant_id, "main")
        assert ledger is not None
        ledgers[name] = ledger
    return made, ledgers


def event_ledgers(ledgers: dict[str, LedgerRef]) -> dict[str, LedgerRef]:
    """The ledgers in which the tenants' events are, by tenant."""
    found = {}
    for name, ledger in ledgers.items():
        with tenant_reading(ledger.tenant_id) as connection:
            events = event_ledger(connection, ledger.tenant_id)
        assert events is not None
        found[name] = events
    return found


class Staff:
    """All who act beside the books."""

    def __init__(
        self, installation: Installation, tenants: list[Tenant], history: History, seed: int
    ) -> None:
        self._installation, self._tenants, self._history = installation, tenants, history
        url = installation.url
        self._actors: list[Actor] = []
        for one in tenants:
            for name in PERSONS:
                invite(url, one, email_of(name), history)
                self._actors.append(Person(url, one, name, history, f"{seed}/{one.name}/{name}"))
            self._actors.append(Program(url, one, history, f"{seed}/{one.name}/{PROGRAM}"))
        self._owner: Owner

    def start(self, seconds: float) -> None:
        """Begin, in a run of so many seconds."""
        self._owner = Owner(self._installation, self._tenants, self._history, seconds)
        for actor in (*self._actors, self._owner):
            actor.start()

    def stop(self) -> None:
        """Let each finish what it has begun."""
        for actor in (*self._actors, self._owner):
            actor.stop()

    def finish(self) -> None:
        """What the owner has not come to; raises AssertionError."""
        self._owner.finish()

    def take_old_keys_out(self) -> None:
        """From here on only the newest key-encryption key is left; raises AssertionError.

        Each tenant is told of it, and nobody asks for anything afterwards.
        """
        self._owner.take_old_keys_out()


def invite(url: str, one: Tenant, email: str, history: History) -> None:
    """Somebody who may sign in, and do what clients do."""
    asker = Asker(url, history)
    asked = {"email": email, "roles": ["admin"]}
    act = Act(one.name, "invite", email)
    token = asker.ask(act, "POST", "/v1/people", asked, one.owner)["invitation_token"]
    chosen = {"invitation_token": token, "password": PASSWORD}
    accepted = Act(one.name, "invite", email)
    asker.ask(accepted, "POST", "/v1/invitations/accept", chosen)
    asker.close()
    assert accepted.done, f"{email} could not be invited: {act.code} {accepted.code}"
