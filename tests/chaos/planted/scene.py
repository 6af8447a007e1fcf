"""A tenant with a person, and what is done in it: written down as the jack hammer's actors do."""

import itertools
import time
from typing import Any
from unittest import mock

import structlog
from sqlalchemy import text

from models.api_key import hash_of, read_key, show_id
from models.db import app_engine, tenant_reading, tenant_writing
from models.key_ring import key_ring
from models.ledger import LedgerRef, event_ledger, find_ledger
from models.tenant import owner_writing
from pipeline import tenants
from pipeline.events import Event, record
from pipeline.identity import api_keys, people, sessions
from pipeline.identity.people import Actor, subject_of
from pipeline.privacy import subjects
from pipeline.privacy.sealing import seal_all
from tests.bank import Bank, transfer
from tests.chaos import identity, privacy
from tests.chaos.evidence import Evidence, read_evidence
from tests.chaos.finding import Finding
from tests.chaos.history import Act, History
from tests.chaos.people import REUSED, holder_of
from tests.chaos.personal import CANARY, ERASED

OK, UNAUTHORIZED = 200, 401
CLI = Actor("cli:test", frozenset({"owner"}))
# Longer than anything counts on after its end.
LATER_S = 2 * identity.COUNTS_ON_S

# As if they had chosen a password: nobody signs in with one here.
ACTIVE = text("""
    UPDATE people SET status = 'active', password_hash = '$argon2id$' WHERE person_id = :person
""")

_numbers = itertools.count(1)


class Scene:
    """Acts go past HTTP, straight to what it calls; answers are acknowledged at once."""

    def __init__(self) -> None:
        self.name = f"scene-{next(_numbers)}"
        with owner_writing() as connection:
            self.tenant_id = tenants.create(connection, self.name, CLI.subject)[0].tenant_id
        with tenant_writing(self.tenant_id) as connection:
            made = people.invite(
                connection, key_ring(), self.tenant_id, CLI, "ada@example.com", ["operator"]
            )
        self.person = made.person_id
        with tenant_writing(self.tenant_id) as connection:
            connection.execute(ACTIVE, {"person": self.person})
        self.version = made.version
        self.history = History()

    def did(self, verb: Any, target: str, status: int, token: str = "", *, later: float = 0) -> Act:
        """Write it down, perhaps as if it were later."""
        now = time.time() + later
        act = Act(self.name, verb, target, token, now, now, status)
        self.history.act(act)
        return act

    def begin(self) -> str:
        """A session, as signing in gives it."""
        with tenant_writing(self.tenant_id) as connection:
            session, _ = sessions.begin(
                connection, key_ring(), self.tenant_id, self.person, "127.0.0.1", "test"
            )
            told = Event("person.signed_in", subject_of(self.person), target=f"session:{session}")
            record(connection, self.tenant_id, told)
        self.did("sign in", session, OK)
        return session

    def refresh(self, session: str, generation: int) -> None:
        """Bring the refresh token of this generation."""
        token = f"{session}.{generation}"
        # A logger keeps how logs were set up when it was first used: this one is thrown away.
        alert = mock.patch.object(sessions, "alert", structlog.get_logger("trident.alert"))
        with alert, tenant_writing(self.tenant_id) as connection:
            made = sessions.refresh(connection, self.tenant_id, session, generation)
        went_on = isinstance(made, sessions.Granted)
        act = self.did("refresh", session, OK if went_on else UNAUTHORIZED, token)
        act.code = "" if went_on else REUSED

    def end(self, session: str, *, dies: bool = False) -> None:
        """Sign out; `dies`: the process is killed before the commit."""
        try:
            with tenant_writing(self.tenant_id) as connection:
                actor = subject_of(self.person)
                sessions.revoke(connection, self.tenant_id, actor, session, "signed_out")
                if dies:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            self.did("end", session, 0)
        else:
            self.did("end", session, OK)

    def use(self, session: str) -> None:
        """Ask with an access token of it, some seconds later."""
        with tenant_reading(self.tenant_id) as connection:
            asked = (self.tenant_id, session, self.person, self.version)
            counts = sessions.counts(connection, *asked)
        self.did("use", session, OK if counts else UNAUTHORIZED, later=LATER_S)

    def use_a_revoked_key(self) -> None:
        """Make an API key, revoke it, and ask with it some seconds later."""
        with tenant_writing(self.tenant_id) as connection:
            powers = api_keys.Powers(("submitter",))
            key, secret, _ = api_keys.make(
                connection, self.tenant_id, "shop", powers, None, CLI.subject
            )
        shown = show_id(key.key_id)
        self.did("make key", shown, OK)
        with tenant_writing(self.tenant_id) as connection:
            api_keys.revoke(connection, self.tenant_id, key, CLI.subject)
        self.did("revoke key", shown, OK, holder_of(secret))
        self.did("use", holder_of(secret), self.look_up(secret), later=LATER_S)

    def look_up(self, secret: str) -> int:
        """With what a request with this key is answered."""
        from api.identity.key_look_up import look_up  # noqa: PLC0415 - patched where it is

        spelled = read_key(secret)
        assert spelled is not None
        return OK if look_up(app_engine(), spelled, hash_of(secret)) else UNAUTHORIZED

    def pay(self) -> Bank:
        """An operation about somebody, sealed as the API does."""
        bank = Bank(self.book)
        body = {**transfer("a", "b", 1), "personal": {"subject": ERASED, "name": CANARY}}
        submission = bank.submission("transfer", body)
        with tenant_writing(self.tenant_id) as connection:
            (made,) = seal_all(connection, key_ring(), self.book, [submission])
        bank.accept(made)  # type: ignore[arg-type]
        return bank

    def erase(self) -> None:
        """Erase whom it is about."""
        with tenant_writing(self.tenant_id) as connection:
            name = subjects.named(ERASED)
            subjects.erase(connection, self.tenant_id, name, CLI.subject)
        self.did("erase", ERASED, OK)

    @property
    def book(self) -> LedgerRef:
        """The tenant's first ledger."""
        with tenant_reading(self.tenant_id) as connection:
            found = find_ledger(connection, self.tenant_id, "main")
        assert found is not None
        return found

    def violated(self) -> list[str]:
        """What the jack hammer's checks find."""
        with tenant_reading(self.tenant_id) as connection:
            events = event_ledger(connection, self.tenant_id)
        assert events is not None
        books: dict[str, Evidence] = {self.name: read_evidence(self.name, self.book)}
        findings: list[Finding] = [
            *identity.check_identity(self.history, {self.name: read_evidence(self.name, events)}),
            privacy.erased(self.history, books),
            privacy.opens(books),
        ]
        return [one.message for finding in findings for one in finding.violations]
