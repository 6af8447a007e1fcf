"""What the clients of the jack hammer ask for beyond payments and holds: groups, exchanges, rules.

And what a ledger needs for it before the clients begin.
"""

import datetime as dt
import random
from typing import Any

Content = dict[str, Any]

ACCOUNTS = [f"customers:{number}" for number in range(1, 9)]
AMOUNT_MAX = 5
# More than AMOUNT_MAX waits for somebody's approval, and more than this for two people's.
ALONE_MAX, LARGE_MAX = 8, 10
# Opened by the first exchange that needs them.
DOLLARS = [f"dollars:{number}" for number in range(1, 3)]
# There and back again, so that the euros do not run out.
RATES = {"EUR": "2", "USD": "0.5"}
# One limit, on what leaves this account; its amount and its period are set anew again and again.
LIMITED, LIMIT_MAX = "customers:1", 20
# Out of a hundred: groups with a member that fails, and with one that captures; limits removed.
FAILING, DECIDING, REMOVED = 25, 20, 20
# Schedules that are made before the faults, so that some come due under each of them: later, the
# database's clock may have been hours ahead, and a time that lies before the log's is refused.
SCHEDULES, SOON_S = 20, 3.0
# What waits from the beginning is given up after the least time that a rule may have.
LAPSING, EXPIRES_AFTER_S = 5, 60

RULES: list[Content] = [
    {
        "kind": "allow_accounts",
        "pattern": "exchange:*",
        "type": "asset",
        "overdraft": "unlimited",
    },
    {"kind": "allow_accounts", "pattern": "dollars:*", "type": "liability", "currency": "USD"},
]


def approval(name: str, above: int, people: int, **more: int) -> Content:
    """A rule: transfers of more than `above` wait for so many approvers."""
    rule = {"kind": "set_approval", "name": name, "operation_kind": "transfer", "currency": "EUR"}
    return {**rule, "above": above, "people": people, "by_role": "approver", **more}


def beginning(seconds: float) -> list[Content]:
    """What a ledger takes before a run of so many seconds."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    taken = [*RULES]
    if seconds >= EXPIRES_AFTER_S:
        brief = approval("large", AMOUNT_MAX, 1, expires_after_s=EXPIRES_AFTER_S)
        taken.append(brief)
        taken += LAPSING * [between(ACCOUNTS[0], ACCOUNTS[1], LARGE_MAX)]
    taken.append(approval("large", AMOUNT_MAX, 1))
    taken.append(approval("huge", ALONE_MAX, 2))
    for number in range(SCHEDULES):
        at = now + dt.timedelta(seconds=SOON_S + number * seconds / SCHEDULES)
        source, destination = ACCOUNTS[number % 8], ACCOUNTS[(number + 3) % 8]
        held = between(source, destination, 1 + number % AMOUNT_MAX)
        taken.append({"kind": "schedule", "operation": held, "at": at.isoformat()})
    starts, until = now + dt.timedelta(seconds=SOON_S), now + dt.timedelta(seconds=seconds)
    rule = f"FREQ=MINUTELY;UNTIL={until + dt.timedelta(seconds=SOON_S):%Y%m%dT%H%M%SZ}"
    often = {
        "operation": between(ACCOUNTS[2], ACCOUNTS[3], 1),
        "rule": rule,
        "starts_at": starts.isoformat(),
    }
    taken.append({"kind": "schedule", **often})
    return taken


def between(source: str, destination: str, amount: int, currency: str = "EUR") -> Content:
    """A transfer."""
    moves = {"source": source, "destination": destination, "amount": amount}
    return {"kind": "transfer", **moves, "currency": currency}


def payment(choose: random.Random, most: int = AMOUNT_MAX, least: int = 1) -> Content:
    """A transfer from one customer to another."""
    source, destination = choose.sample(ACCOUNTS, 2)
    return between(source, destination, choose.randint(least, most))


def large(choose: random.Random) -> Content:
    """One that waits, for one person or for two."""
    return payment(choose, LARGE_MAX, AMOUNT_MAX + 1)


def group(choose: random.Random, held: list[str]) -> Content:
    """All or nothing: one may fail for what it names, or for want of money, or decide a hold."""
    members = [payment(choose) for _ in range(choose.randint(2, 3))]
    if choose.randrange(100) < FAILING:
        failing = {**payment(choose), "destination": "nobody"}
        members.insert(choose.randrange(len(members) + 1), failing)
    if held and choose.randrange(100) < DECIDING:
        members.append({"kind": "capture", "target": choose.choice(held)})
    return {"kind": "group", "operations": members}


def exchange(choose: random.Random) -> Content:
    """Euros become dollars, or dollars euros."""
    sides, currencies = [choose.choice(ACCOUNTS), choose.choice(DOLLARS)], ["EUR", "USD"]
    amount = choose.randint(1, AMOUNT_MAX)
    if choose.random() < 0.5:
        sides.reverse()
        currencies.reverse()
        amount *= 2
    content = between(sides[0], sides[1], amount, currencies[0])
    rate = RATES[currencies[0]]
    return {**content, "kind": "exchange", "to_currency": currencies[1], "rate": rate}


def fee(choose: random.Random) -> Content:
    """A transfer with a fee, which is a share and is another customer's."""
    source, destination, account = choose.sample(ACCOUNTS, 3)
    payer = choose.choice(("source", "destination"))
    fees = [{"account": account, "share": choose.choice(("33.333333", "50"))}]
    amount = choose.randint(2, AMOUNT_MAX)
    return {**between(source, destination, amount), "fees": fees, "fees_from": payer}


def condition(choose: random.Random) -> Content:
    """A transfer on condition, which another transfer may break just before."""
    wanted = {"balance": {"gte": choose.randint(1, 30)}}, {"version": choose.randint(1, 50)}
    return {**payment(choose), "require": {"source": choose.choice(wanted)}}


def limit(choose: random.Random) -> Content:
    """The limit anew: another amount keeps what is used of it, another period does not."""
    if choose.randrange(100) < REMOVED:
        return {"kind": "remove_limit", "name": "daily"}
    per, amount = choose.choice(("day", "month")), choose.randint(AMOUNT_MAX, LIMIT_MAX)
    rule = {"kind": "set_limit", "name": "daily", "per": per, "account": LIMITED}
    return {**rule, "currency": "EUR", "amount": amount}


def schedule(choose: random.Random) -> Content:
    """A payment in a moment."""
    soon = dt.timedelta(seconds=choose.uniform(0.5, SOON_S))
    at = (dt.datetime.now(dt.UTC) + soon).isoformat()
    return {"kind": "schedule", "operation": payment(choose), "at": at}
