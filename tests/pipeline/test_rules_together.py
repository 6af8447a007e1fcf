"""Random logs of everything that rules touch, cut into runs at random: they replay."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from models.operation import show_id
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from tests.bank import Bank, transfer
from tests.pipeline.test_holds import BY_TIME, proves

SEEDS = 6
OPERATIONS = 150
LARGE = 20
CODES = ("a:1", "a:2", "b:1", "b:2", "till")
ROLES = {"clerk": ["submitter"], "ann": ["approver"], "ben": ["approver", "submitter"]}
DECIDING = ("approve", "approve", "approve", "refuse", "capture", "release", "reversal", "expire")


class Crowd:
    """People who do something at random."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self.bank = bank
        self.random = random.Random(seed)
        self.accepted: list[Accepted] = []
        self.large: list[Accepted] = []  # what may wait for approvals

    def act(self) -> None:
        """One operation of any sort."""
        acts: list[Callable[[], Accepted]] = [self.pay, self.pay, self.decide, self.decide]
        self.accepted.append(self.random.choice([*acts, *acts, self.rule])())

    def pay(self) -> Accepted:
        """A transfer or a hold between accounts that may not be there yet."""
        source, destination = self.random.sample(CODES, 2)
        kind = self.random.choice(["transfer", "transfer", "hold"])
        amount = self.random.randint(1, 60)
        body = transfer(source, destination, amount)
        paid = self.bank.submit(kind, body, principal=self.somebody())
        if amount > LARGE:
            self.large.append(paid)
        return paid

    def decide(self) -> Accepted:
        """About any operation so far, most often a late one."""
        kind = self.random.choice(DECIDING)
        likely = self.large if self.large and kind in ("approve", "refuse") else self.accepted
        target = self.random.choice(likely[-8:])
        body: dict[str, Any] = {"target": show_id(target.id)}
        if kind in ("capture", "reversal") and self.random.random() < 0.5:
            body["amount"] = self.random.randint(1, 20)
        who = BY_TIME if kind == "expire" else self.somebody()
        return self.bank.submit(kind, body, principal=who)

    def rule(self) -> Accepted:
        """A limit, an approval, a pattern, or one of them less."""
        amount = self.random.randint(0, 400)
        name = {"name": self.random.choice(["x", "y"])}
        limit = {**name, "currency": "EUR", "per": self.random.choice(["day", "month"])}
        if self.random.random() < 0.5:
            limit["account"] = self.random.choice(["*", "a:*", "b:1"])
        wait = {"currency": "EUR", "above": amount // 8, "by_role": "approver"}
        wait |= {**name, "people": self.random.randint(1, 2), "expires_after_s": 60}
        pattern = {"pattern": self.random.choice(["a:*", "*", "b:*"])}
        rules: list[tuple[str, dict[str, Any]]] = [
            ("set_limit", limit | {"amount": amount}),
            ("set_approval", wait),
            ("allow_accounts", {**pattern, "type": "liability", "overdraft": 300}),
            ("allow_accounts", {**pattern, "type": "asset", "overdraft": "unlimited"}),
            ("remove_limit", name),
            ("remove_approval", name),
            ("disallow_accounts", pattern),
        ]
        return self.bank.submit(*self.random.choice(rules))

    def somebody(self) -> bytes:
        """One of the people."""
        name = self.random.choice(list(ROLES))
        return canonical({"roles": ROLES[name], "sub": name})


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_people_do_the_log_explains_the_books(either: Bank, seed: int) -> None:
    """No run fails, and replaying the log gives rules, use, decisions and balances again."""
    crowd = Crowd(either, seed)
    crowd.accepted += [
        either.submit("allow_accounts", {"pattern": "*", "type": "liability", "overdraft": 500}),
        either.submit(
            "set_approval",
            {"name": "x", "currency": "EUR", "above": LARGE, "people": 2, "by_role": "approver"},
        ),
    ]
    for _ in range(OPERATIONS):
        crowd.act()
        if crowd.random.random() < 0.2:
            either.work()
    either.work()
    proves(either)
    effects = "SELECT DISTINCT effect FROM decisions WHERE ledger_id = :ledger"
    assert {"wait", "approve"} <= {row.effect for row in either.rows(effects)}
