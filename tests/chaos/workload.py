"""What the clients of a simulation submit: drawn from a seed, good and bad, fresh and repeated."""

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from models.ledger import LedgerRef
from pipeline.principal import SCHEDULER
from pipeline.receipt import Submission
from pipeline.strict_json import canonical
from tests.chaos import workload_rules
from tests.chaos.workload_mix import CALENDAR, DECIDING, SORTED, SORTS, STATUS
from tests.chaos.workload_rules import ABOVE, FIRST_USED, START, Drawn, iso

OPERATIONS = 200
CODES = ("a", "b", "c", "d", "e")
# Opened by each ledger's first client; `usd` keeps another currency, `nobody` is never opened.
OPENED: tuple[dict[str, Any], ...] = (
    {"code": "world", "type": "asset", "currency": "EUR", "overdraft": "unlimited"},
    *({"code": c, "type": "liability", "currency": "EUR", "overdraft": 0} for c in CODES),
    {"code": "usd", "type": "liability", "currency": "USD", "overdraft": 50},
)
ADMIN = orjson.dumps({"roles": ["admin"], "sub": "admin"})
NOBODY = orjson.dumps({"roles": [], "sub": "nobody"})
LIMITED = orjson.dumps({"roles": ["submitter"], "sub": "limited", "limits": {"EUR": 50}})
# Two people who approve; who has submitted it may try as well.
ADA = orjson.dumps({"roles": ["approver", "submitter"], "sub": "ada"})
BO = orjson.dumps({"roles": ["approver"], "sub": "bo"})
DUE = orjson.dumps({"roles": [SCHEDULER], "sub": "scheduler"})
AMOUNT_MAX = 100
# Every so many minor units an amount is dated, to one of the days around the simulation's own.
DATED_EVERY = 4
DATES = ("2027-01-14", "2027-01-15", "2027-01-16")
# Descriptions of operations that fail the run of `post` that they are in, or kill its process.
POISON, KILLER = "poison", "killer"
POISON_ONE_IN = 60
# Who decides another operation names it by its key: its id is known once a client was told it.
KEY = "$"
# So many of the newest are decided about: few, so that they are again and again.
CONTESTED = 4
# Holds expire when nobody looks any more, or within the run.
EXPIRES_AT = [iso(START + dt.timedelta(days=30)), iso(START + dt.timedelta(minutes=1))]
# What each sort of decision is drawn from, where it is not what is held.
DECIDED_AS = {
    "reversal": "paid",
    "pause_schedule": "scheduled",
    "resume_schedule": "paused",
    "cancel_schedule": "scheduled",
    "approve": "waiting",
    "refuse": "waiting",
}
RULES: dict[str, Callable[[Any], Drawn]] = {
    "limit": workload_rules.limit,
    "approval": workload_rules.approval,
    "allow": workload_rules.allow,
}
MONEY: dict[str, Callable[[Any, int], Drawn]] = {
    "fee": workload_rules.fee,
    "condition": workload_rules.conditional,
    "exchange": workload_rules.exchange,
    "schedule": workload_rules.schedule,
}


@dataclass(frozen=True, slots=True)
class Group:
    """Submissions that one client hands to accept together. `first` numbers them in the plan."""

    first: int
    client: int
    ledger: LedgerRef
    submissions: tuple[Submission, ...]

    def only(self, kept: frozenset[int]) -> "Group":
        """The group with some of its submissions."""
        some = (one for number, one in enumerate(self.submissions, self.first) if number in kept)
        return Group(self.first, self.client, self.ledger, tuple(some))


def groups_of(
    seed: int, ledgers: list[LedgerRef], clients: int, group_max: int, poison: bool
) -> list[Group]:
    """OPERATIONS submissions in groups of up to `group_max`."""
    draw = Draw(random.Random(seed), poison)
    groups: list[Group] = []
    made = 0
    for ledger in ledgers:
        opened = (("open_account", dict(body)) for body in OPENED)
        opening = tuple(draw.keyed(*one) for one in (*opened, *workload_rules.first_rules(draw)))
        draw.made[ledger] = list(opening)
        groups.append(Group(made, len(groups) % clients, ledger, opening))
        made += len(opening)
    while made < OPERATIONS:
        size = min(OPERATIONS - made, 1 + draw.below(group_max))
        ledger = ledgers[draw.below(len(ledgers))]
        client = draw.below(clients)
        submissions = tuple(draw.submission(ledger, client) for _ in range(size))
        draw.let_name(ledger, client, submissions)
        groups.append(Group(made, client, ledger, submissions))
        made += size
    return groups


class Draw:
    """Draws submissions; `made` is what may be repeated."""

    def __init__(self, rng: random.Random, poison: bool) -> None:
        self._poison = poison
        self._random = rng.random
        self._keys = 0
        # Clients and keys of what may be decided about, by how.
        self._named: dict[str, dict[LedgerRef, list[tuple[int, str]]]] = defaultdict(
            partial(defaultdict, list)
        )
        self.made: dict[LedgerRef, list[Submission]] = {}

    def below(self, end: int) -> int:
        """A number from 0 to end - 1."""
        return int(self._random() * end)

    def code(self) -> str:
        """One of the accounts that hold money."""
        return CODES[self.below(len(CODES))]

    def keyed(self, kind: str, body: dict[str, Any], principal: bytes = ADMIN) -> Submission:
        """A submission under a fresh key."""
        self._keys += 1
        return Submission(f"key-{self._keys}", kind, canonical(body), principal)

    def submission(self, ledger: LedgerRef, client: int) -> Submission:
        """The client's next one for the ledger."""
        at = self.below(100)
        sort = SORTS[at] if at < len(SORTS) else "transfer"
        made = self.made[ledger]
        if sort == "repeat":
            return made[self.below(len(made))]
        if sort == "alter":
            old = made[self.below(len(made))]
            body = {**orjson.loads(old.body), "description": "altered"}
            return Submission(old.key, old.kind, canonical(body), old.principal)
        if sort in DECIDING:
            submission = self._deciding(sort, ledger, client)
        else:
            submission = self._fresh(sort, ledger)
        made.append(submission)
        return submission

    def let_name(self, ledger: LedgerRef, client: int, submissions: Iterable[Submission]) -> None:
        """What is submitted after these may decide about them."""
        for one in submissions:
            for named in SORTED.get(one.kind, ()):
                self._named[named][ledger].append((client, one.key))
            if is_large(one):
                self._named["waiting"][ledger].append((client, one.key))
            if one.kind == "pause_schedule":
                paused = orjson.loads(one.body)["target"].removeprefix(KEY)
                self._named["paused"][ledger].append((client, paused))

    def _deciding(self, sort: str, ledger: LedgerRef, client: int) -> Submission:
        """It decides one of the newest, or, now and then, what does not wait for it."""
        if sort == "foreign":
            sort = ("capture", "release", "reversal")[self.below(3)]
            ledger = list(self.made)[self.below(len(self.made))]
        if sort == "pause":
            sort = CALENDAR[self.below(len(CALENDAR))]
            if sort == "resume_schedule" and not self._named["paused"][ledger]:
                sort = "pause_schedule"
        named = DECIDED_AS.get(sort, "held")
        if self.below(10) == 0:
            named = "held" if named == "paid" else "paid"
        found = self._named[named][ledger]
        # What others submit may not be there yet.
        mine = [] if self.below(4) == 0 else [one for one in found if one[0] == client]
        keys = (mine or found)[-CONTESTED:] or [(client, "")]
        _, key = keys[self.below(len(keys))]
        body: dict[str, Any] = {"target": KEY + key}
        if sort in ("capture", "reversal") and self.below(3):
            body["amount"] = 1 + self.below(AMOUNT_MAX // 2)
        if sort == "capture" and self.below(3) == 0:
            body["final"] = True
        return self.keyed(sort, body, self._who(sort))

    def _who(self, sort: str) -> bytes:
        """Who decides."""
        if sort == "expire":
            return DUE
        if sort in ("approve", "refuse"):
            return (ADA, ADA, BO, BO, ADMIN)[self.below(5)]
        return LIMITED if self.below(8) == 0 else ADMIN

    def _fresh(self, sort: str, ledger: LedgerRef) -> Submission:
        if sort in RULES:
            return self.keyed(*RULES[sort](self))
        if sort in MONEY:
            who = (ADMIN, ADMIN, ADMIN, ADA)[self.below(4)]
            return self.keyed(*MONEY[sort](self, AMOUNT_MAX), who)
        if sort == "group":
            held = self._named["held"][ledger] + self._named["paid"][ledger]
            targets = [KEY + key for _, key in held[-CONTESTED:]]
            return self.keyed(*workload_rules.group(self, AMOUNT_MAX // 4, targets))
        return self._moving(sort)

    def _moving(self, sort: str) -> Submission:
        amount = 1 + self.below(AMOUNT_MAX)
        one, other = self.code(), self.code()
        transfers = {
            "transfer": (one, other, "EUR", ADMIN),
            "fund": ("world", other, "EUR", ADMIN),
            "unknown": (one, "nobody", "EUR", ADMIN),
            "first use": (("world", one)[self.below(2)], self._first_used(), "EUR", ADMIN),
            "mismatch": (one, "usd", "EUR", ADMIN),
            "currency": (one, other, "ZZZ", ADMIN),
            "unauthorized": (one, other, "EUR", NOBODY),
            "limited": (one, other, "EUR", LIMITED),
            "same": ("a", "a", "EUR", ADMIN),
            "hold": (("world", one)[self.below(2)], other, "EUR", ADMIN),
        }
        if sort in transfers:
            source, destination, currency, principal = transfers[sort]
            body: dict[str, Any] = {
                "source": source,
                "destination": destination,
                "amount": amount,
                "currency": currency,
                **dated(amount),
            }
            if self._poison and sort == "transfer" and self.below(POISON_ONE_IN) == 0:
                body["description"] = (POISON, KILLER)[self.below(2)]
            if sort == "hold" and self.below(3) == 0:
                body["expires_at"] = EXPIRES_AT[self.below(2)]
            return self.keyed("hold" if sort == "hold" else "transfer", body, principal)
        return self._about_accounts(sort, amount)

    def _first_used(self) -> str:
        return FIRST_USED[self.below(len(FIRST_USED))]

    def _about_accounts(self, sort: str, amount: int) -> Submission:
        if sort == "status":
            kind, body = STATUS[self.below(len(STATUS))], {"account": CODES[-1]}
            mode = workload_rules.MODES[self.below(len(workload_rules.MODES))]
            if kind == "freeze_account" and mode is not None:
                body["mode"] = mode
            return self.keyed(kind, body)
        if sort == "overdraft":
            return self.keyed("update_account", {"account": self.code(), "overdraft": amount})
        if sort == "open":
            body = {**OPENED[1], "code": f"late:{self.below(5)}"}
            return self.keyed("open_account", body)
        if self.below(3) == 0:
            return self.keyed(*workload_rules.shared(self, AMOUNT_MAX))
        legs = [
            {"account": self.code(), "direction": "credit", "amount": amount, "currency": "EUR"},
            {"account": self.code(), "direction": "debit", "amount": amount, "currency": "EUR"},
            {"account": self.code(), "direction": "credit", "amount": 1, "currency": "EUR"},
            {"account": "world", "direction": "debit", "amount": 1, "currency": "EUR"},
        ]
        return self.keyed("journal", {"legs": legs, **dated(amount)})


def is_large(one: Submission) -> bool:
    """Whether it waits for approvals where a rule asks for them."""
    if one.kind not in ("transfer", "hold") or one.principal not in (ADMIN, ADA):
        return False
    body = orjson.loads(one.body)
    return bool(body["amount"] > ABOVE and body["source"] != body["destination"])


def dated(amount: int) -> dict[str, str]:
    """Some operations are back-dated, some dated ahead, and some to their own day."""
    if amount % DATED_EVERY:
        return {}
    return {"effective_date": DATES[amount // DATED_EVERY % len(DATES)]}
