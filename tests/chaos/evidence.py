"""Everything that the database holds of a ledger after a run, read in one snapshot."""

import datetime as dt
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, text

from models.db import tenant_reading
from models.key_ring import key_ring
from models.ledger import LedgerRef
from models.operation import show_id
from models.sealed import TamperedError
from pipeline.kinds.personals import PERSONAL
from pipeline.ledger import Account, Counter, Decision, Pending, Posting
from pipeline.privacy.data_keys import DataKey, keys_of
from pipeline.privacy.personal import MARK, Origin, Place, name_of, opened, places
from pipeline.refusal import Refusal
from pipeline.stage import Operation
from pipeline.strict_json import canonical
from pipeline.verify.reading import Rejection

OF_LEDGER = "WHERE tenant_id = :tenant AND ledger_id = :ledger"

GIVEN_UP = {"refuse": "approval_refused", "lapse": "approval_expired"}


class Stored(NamedTuple):
    """One operation of the log."""

    operation: Operation
    id: str  # op_...
    key: str
    # Its members with what is personal in clear, where there is any.
    opened: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """Its members with its kind, as a client sends them. Nobody changes them."""
        return _content(self.operation.kind, self.operation.body)


# Many invariants look at the same operations.
@lru_cache(maxsize=10_000)
def _content(kind: str, body: str) -> dict[str, Any]:
    return {"kind": kind, **orjson.loads(body)}


class Run(NamedTuple):
    """One run of a stage; `at` in seconds since the epoch, by the true clock."""

    first: int
    last: int
    at: float


NOTHING = Stored(
    Operation(0, 0, "none", "{}", dt.datetime.max.replace(tzinfo=dt.UTC), "{}", False), "", ""
)


@dataclass
class Evidence:
    """The rows of one ledger. Positions are the keys of what belongs to an operation."""

    tenant: str
    ledger: LedgerRef
    log: list[Stored] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)  # the positions that idempotency keys lead to
    rejections: dict[int, Rejection] = field(default_factory=dict)
    postings: dict[int, list[Posting]] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)  # by code
    decisions: dict[int, list[Decision]] = field(default_factory=dict)  # by who decided
    pending: dict[int, Pending] = field(default_factory=dict)
    # Which operations were not approved, and the code that people are shown for it.
    given_up: dict[int, str] = field(default_factory=dict)
    usage: dict[Counter, int] = field(default_factory=dict)  # of limits

    def by_key(self) -> dict[str, Stored]:
        """The log by idempotency key."""
        return {stored.key: stored for stored in self.log}

    def at(self, position: int) -> Stored:
        """The operation at the position; one of no kind where there is none."""
        return self.log[position - 1] if 0 < position <= len(self.log) else NOTHING

    def status(self, position: int) -> str:
        """What became of the operation."""
        if position in self.rejections or position in self.given_up:
            return "rejected"
        if position in self.pending:
            return "pending"
        posted = max((run.last for run in self.runs.get("post", [])), default=0)
        return "posted" if position <= posted else "waiting"

    def code(self, position: int) -> str:
        """The code that people are shown of an operation that was rejected, or not approved."""
        rejection = self.rejections.get(position)
        return rejection.code if rejection else self.given_up.get(position, "")

    def refusal(self, position: int) -> Refusal | None:
        """Why it was rejected, if it was."""
        rejection = self.rejections.get(position)
        return None if rejection is None else Refusal(rejection.code, rejection.detail)


def read_evidence(tenant: str, ledger: LedgerRef) -> Evidence:
    """All rows of the ledger."""
    evidence = Evidence(tenant, ledger)
    with tenant_reading(ledger.tenant_id) as connection:
        _read_log(connection, evidence)
        _read_outcomes(connection, evidence)
        for stage, first, last, at in _rows(
            connection,
            evidence,
            "SELECT stage, from_position, to_position, extract(epoch FROM at)::float FROM runs"
            f" {OF_LEDGER} ORDER BY from_position",
        ):
            evidence.runs.setdefault(stage, []).append(Run(first, last, at))
        for row in _rows(connection, evidence, f"SELECT * FROM accounts {OF_LEDGER}"):
            members = {name: getattr(row, name) for name in Account.__dataclass_fields__}
            evidence.accounts[row.code] = Account(**members)
    return evidence


def _read_log(connection: Connection, evidence: Evidence) -> None:
    for row in _rows(
        connection,
        evidence,
        "SELECT position, kind, body::text, accepted_at, principal::text, id, idempotency_key"
        f" FROM operations {OF_LEDGER} ORDER BY position",
    ):
        operation = Operation._make((evidence.ledger.ledger_id, *row[:5], False))
        evidence.log.append(Stored(operation, show_id(row.id), row.idempotency_key))
    evidence.log = opened_log(connection, evidence.ledger, evidence.log)
    keys = f"SELECT position FROM idempotency_keys {OF_LEDGER} ORDER BY position"
    evidence.keys = [row.position for row in _rows(connection, evidence, keys)]


def opened_log(connection: Connection, ledger: LedgerRef, log: list[Stored]) -> list[Stored]:
    """The log with what is personal in clear, as far as there is a key for it."""
    marked = {row.key for row in log if MARK in row.operation.body}
    bodies = {row.key: orjson.loads(row.operation.body) for row in log if row.key in marked}
    kinds = {row.key: row.operation.kind for row in log}
    found = {key: list(places(kinds[key], body)) for key, body in bodies.items()}
    names = {name_of(place) for these in found.values() for place in these}
    keys = keys_of(connection, key_ring(), ledger.tenant_id, names)
    for key, these in found.items():
        origin = Origin(ledger.tenant_id, ledger.ledger_id, key)
        for place in these:
            data_key = keys.get(name_of(place))
            try:
                data = forgotten(place)
                if isinstance(data_key, DataKey):
                    data = opened(origin, place, data_key)
            except TamperedError as error:
                data = {**forgotten(place), "tampered": str(error)}
            place.body[PERSONAL] = data
    return [
        row._replace(opened=canonical(bodies[row.key]).decode()) if row.key in marked else row
        for row in log
    ]


def forgotten(place: Place) -> dict[str, Any]:
    """What is left of personal data without its key."""
    return {"subject": place.body[PERSONAL]["subject"]}


def _read_outcomes(connection: Connection, evidence: Evidence) -> None:
    rejections = f"SELECT position, stage, code, detail FROM rejections {OF_LEDGER}"
    for row in _rows(connection, evidence, rejections):
        evidence.rejections[row.position] = Rejection(*row[1:])
    for row in _rows(
        connection,
        evidence,
        "SELECT position, leg, account, version, pending, amount, balance_after, currency"
        f" FROM postings {OF_LEDGER} ORDER BY position, leg",
    ):
        evidence.postings.setdefault(row.position, []).append(Posting(*row))
    for row in _rows(
        connection,
        evidence,
        "SELECT target, number, position, effect, amount, remaining, terminal, actor"
        f" FROM decisions {OF_LEDGER} ORDER BY position, target, number",
    ):
        evidence.decisions.setdefault(row.position, []).append(Decision(*row))
        if row.effect in GIVEN_UP:
            evidence.given_up[row.target] = GIVEN_UP[row.effect]
    usage = f"SELECT name, since, account, period, used FROM limit_usage {OF_LEDGER}"
    for *counter, used in _rows(connection, evidence, usage):
        evidence.usage[Counter(*counter)] = used
    pending = f"SELECT target, effect, due_at, number FROM pending_operations {OF_LEDGER}"
    for row in _rows(connection, evidence, pending):
        evidence.pending[row.target] = Pending(*row[1:])


def _rows(connection: Connection, evidence: Evidence, query: str) -> list[Any]:
    scope = {"tenant": evidence.ledger.tenant_id, "ledger": evidence.ledger.ledger_id}
    return list(connection.execute(text(query), scope).all())
