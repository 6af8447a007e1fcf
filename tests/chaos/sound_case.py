"""A ledger with some of everything in it, and what its client was told: sound until sabotaged."""

from typing import Any

from models.operation import make_id, show_id
from pipeline import heads
from pipeline.principal import SCHEDULER
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from tests.bank import ADMIN, Bank, new_ledger, transfer
from tests.chaos.books import check_books, notified
from tests.chaos.evidence import read_evidence
from tests.chaos.history import Attempt, History
from tests.chaos.identity import ended
from tests.chaos.promises import check_promises
from tests.chaos.watch import Heard, Listener

OPENED = {"type": "liability", "currency": "EUR"}
ADA = canonical({"roles": ["approver"], "sub": "ada"})
SCHEDULED = canonical({"roles": [SCHEDULER], "sub": "trident:scheduler"})


class Case:
    """A ledger with payments and holds, decided and refused, and what its client was told."""

    def __init__(self) -> None:
        heads.store.cache_clear()
        self.bank = Bank(new_ledger())
        self.history = History()
        self.send("open-a", "open_account", {"code": "a", "overdraft": 5, **OPENED})
        self.send("open-b", "open_account", {"code": "b", "overdraft": 0, **OPENED})
        self.paid = self.send("paid", "transfer", transfer("a", "b", 3))
        self.refused = self.send("refused", "transfer", transfer("a", "b", 99))
        self.held = self.send("held", "hold", transfer("b", "a", 2))
        self.taken = self.send("taken", "capture", {"target": self.held.id, "amount": 1})
        self.back = self.send("back", "reversal", {"target": self.paid.id, "amount": 1})
        stranger = show_id(make_id(self.bank.ledger.ledger_id + 1, 1, 0))
        self.stranger = self.send("stranger", "release", {"target": stranger})
        self.rule()
        self.bank.work()
        heads.keep([self.bank.ledger])
        self.paid.status = "posted"
        self.refused.status, self.refused.rejection = "rejected", "insufficient_funds"
        self.evidence = read_evidence("north", self.bank.ledger)
        self.listener = Listener("", {"north": self.bank.ledger})
        number = self.bank.ledger.ledger_id
        self.listener.heard.append(Heard({number: 0}, {number: [len(self.evidence.log)]}))

    def rule(self) -> None:
        """Rules, and what they concern; a group; and a schedule whose time has come."""
        limit = {"name": "daily", "per": "day", "account": "a", "currency": "EUR", "amount": 50}
        self.limit = self.send("limit", "set_limit", limit)
        members = [{"kind": "transfer", **transfer("a", "b", 1)} for _ in range(2)]
        self.grouped = self.send("grouped", "group", {"operations": members})
        rule = {"name": "large", "currency": "EUR", "above": 1, "people": 1, "by_role": "approver"}
        self.send("rule", "set_approval", {**rule, "operation_kind": "transfer"})
        self.large = self.send("large", "transfer", transfer("a", "b", 2))
        self.approved = self.send("approved", "approve", {"target": self.large.id}, ADA)
        held = {"operation": {"kind": "transfer", **transfer("b", "a", 1)}}
        self.schedule = self.send("schedule", "schedule", {**held, "at": "2030-01-01T00:00:00Z"})
        occurs = {"target": self.schedule.id, "number": 0, "due": "2030-01-01T00:00:00Z"}
        self.occurred = self.send("occurs", "occur", occurs, SCHEDULED)

    def send(self, key: str, kind: str, body: dict[str, Any], who: bytes = ADMIN) -> Attempt:
        """An operation that is accepted, and its answer."""
        attempt = self.attempt(key, {"kind": kind, **body})
        accepted = self.bank.submit(kind, body, key=key, principal=who)
        assert isinstance(accepted, Accepted)
        attempt.id, attempt.position = show_id(accepted.id), accepted.position
        attempt.end("ok")
        return attempt

    def attempt(self, key: str, content: dict[str, Any]) -> Attempt:
        """An attempt whose answer is yet to come."""
        return self.history.invoke("north", key, content, "client", "alone")

    def violated(self) -> set[str]:
        """The invariants that do not hold."""
        evidence = {"north": self.evidence}
        findings = [*check_promises(self.history, evidence), *check_books(evidence)]
        findings.append(notified(self.evidence, self.listener))
        findings.append(ended(self.history.acts, self.history.attempts))
        return {finding.invariant for finding in findings if finding.violations}
