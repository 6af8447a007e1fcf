"""The rules of a ledger were kept: limits, approvals, first use; recounted from its log alone."""

import datetime as dt
from collections import Counter
from functools import lru_cache
from typing import Any

import orjson

from tests.chaos.evidence import Evidence, Stored
from tests.chaos.fates import fates, keys_of
from tests.chaos.finding import Finding
from tests.chaos.recount import (
    PLAIN,
    Applied,
    Content,
    amounts_of,
    applied,
    gave_the_last_approval,
    legs_of,
    waits,
)

DEBIT_NORMAL = ("asset", "expense")
# What makes two limits of a name the same, so that what is used of one counts for the other.
SAME = ("per", "currency", "account", "operation_kind", "role")
# What a rule over limits is of, and over: every change that widens one.
OVER_LIMITS: Content = {"kind": "set_limit"}
# Name, since when, account, period: what is counted together.
Used = tuple[str, int, str, str]


class Rules:
    """The rules in force, and what is used of the limits, position by position."""

    def __init__(self) -> None:
        self.limits: dict[str, tuple[int, Content]] = {}  # since when
        self.approvals: dict[str, Content] = {}
        self.patterns: dict[str, Content] = {}
        self.used: Counter[Used] = Counter()

    def take(self, position: int, content: Content) -> None:
        """What an operation that was not refused sets or takes away."""
        name = content.get("name", "")
        match content["kind"]:
            case "set_limit":
                since, before = self.limits.get(name, (0, {}))
                kept = since and all(before.get(of) == content.get(of) for of in SAME)
                self.limits[name] = (since if kept else position), content
            case "remove_limit":
                del self.limits[name]
            case "set_approval":
                self.approvals[name] = content
            case "remove_approval":
                del self.approvals[name]
            case "allow_accounts":
                self.patterns[content["pattern"]] = content
            case "disallow_accounts":
                del self.patterns[content["pattern"]]

    def count(self, one: Evidence, what: Applied, at: dt.datetime) -> list[str]:
        """Count an operation that took effect; which limits it passed."""
        if what.content["kind"] == "group":
            members = (what._replace(content=member) for member in what.content["operations"])
            return [wrong for member in members for wrong in self.count(one, member, at)]
        wrong = []
        for name, (since, limit) in self.limits.items():
            if what.content["kind"] not in PLAIN or not concerns(limit, what):
                continue
            for account, amount in counting(one, limit, what.content).items():
                used = name, since, account, period(limit["per"], at)
                if limit["per"] == "operation":
                    total = amount
                else:
                    self.used[used] += amount
                    total = self.used[used]
                if total > limit["amount"]:
                    wrong.append(f"{total} of {limit} is used by {what}")
        return wrong

    def must_wait(self, content: Content, principal: str) -> bool:
        """Whether it is above what is allowed without approvals, or something in it is."""
        if content["kind"] in ("set_approval", "remove_approval"):
            rule = self.approvals.get(content["name"])
            return rule is not None and loosens(content, rule)
        if content["kind"] in ("set_limit", "remove_limit"):
            _, limit = self.limits.get(content["name"], (0, None))
            return limit is not None and any(
                lifts(content, limit, rule) and concerns(rule, Applied(0, OVER_LIMITS, principal))
                for rule in self.approvals.values()
            )
        held = [*content.get("operations", ()), *filter(None, (content.get("operation"),))]
        return any(
            concerns(rule, Applied(0, one, principal))
            and amounts_of(one)[rule["currency"]] > rule["above"]
            for rule in self.approvals.values()
            for one in (content, *held)
        )


def loosens(content: Content, rule: Content) -> bool:
    """Whether less would wait than under the rule, or for fewer people, or for others."""
    if content["kind"] == "remove_approval":
        return True
    over_limits = OVER_LIMITS["kind"] in (content.get("operation_kind"), rule.get("operation_kind"))
    return (
        any(content.get(of) != rule.get(of) for of in ("currency", "by_role"))
        or any(content.get(of) not in (None, rule.get(of)) for of in ("operation_kind", "role"))
        or (over_limits and content.get("operation_kind") != rule.get("operation_kind"))
        or content["above"] > rule["above"]
        or content["people"] < rule["people"]
    )


def lifts(content: Content, limit: Content, rule: Content) -> bool:
    """Whether a rule over limits asks for others, so that this one lets more pass."""
    if rule.get("operation_kind") != OVER_LIMITS["kind"] or rule["currency"] != limit["currency"]:
        return False
    return (
        any(content.get(of) != limit.get(of) for of in SAME)  # taken away, or another one
        or content["amount"] > max(limit["amount"], rule["above"])
    )


def concerns(rule: Content, what: Applied) -> bool:
    """Whether the rule is for operations of this kind, and for who submitted it."""
    kind, role = rule.get("operation_kind"), rule.get("role")
    if kind not in (None, what.content["kind"]):
        return False
    return role is None or role in read(what.principal).get("roles", ())


@lru_cache(maxsize=100)  # There are few of them.
def read(principal: str) -> dict[str, Any]:
    """The members of a principal. Nobody changes them."""
    members: dict[str, Any] = orjson.loads(principal)
    return members


def counting(one: Evidence, limit: Content, content: Content) -> Counter[str]:
    """How much counts, by account, or together under an empty name."""
    pattern, currency = limit.get("account"), limit["currency"]
    counted: Counter[str] = Counter()
    if pattern is None:
        counted[""] = amounts_of(content)[currency]
    else:
        for leg in legs_of(content):
            if leg.currency == currency and fits(pattern, leg.account):
                out = 1 if one.accounts[leg.account].type in DEBIT_NORMAL else -1
                counted[leg.account] += out * leg.amount
    return +counted  # what is not positive has not left


def fits(pattern: str, code: str) -> bool:
    """`prefix:*`, or a code."""
    return code.startswith(pattern[:-1]) if pattern.endswith("*") else code == pattern


def period(per: str, at: dt.datetime) -> str:
    """The day or month of UTC; a single operation has no other."""
    return {"day": f"{at:%Y-%m-%d}", "month": f"{at:%Y-%m}"}.get(per, per)


def limits_kept(one: Evidence) -> Finding:
    """What was done stayed within every limit, what is kept as used is its sum, and no more."""
    finding = Finding("no limit was passed, and what was refused does not count", of="operations")
    rules = Rules()
    for row in one.log:
        position, at = row.operation.position, row.operation.accepted_at.astimezone(dt.UTC)
        refused = one.rejections.get(position)
        if refused is not None and refused.code == "limit_reached":
            said = f"{position} was refused with {refused.detail}, used is {rules.used}"
            finding.look(_rightly(rules, refused.detail), said, *keys_of(one, position))
        done = applied(one, row)
        wrong = [fault for what in done for fault in rules.count(one, what, at)]
        finding.examined += 1
        if wrong:
            finding.violate(f"at {position} {wrong}", *keys_of(one, position))
        for what in done:
            rules.take(position, what.content)
    used = {tuple(counter): amount for counter, amount in one.usage.items()}
    said = f"{used} is kept as used of limits, and {dict(rules.used)} was"
    finding.look(used == dict(+rules.used), said)
    return finding


def _rightly(rules: Rules, detail: dict[str, Any]) -> bool:
    """Whether the refusal says what was used, and that is too much with the amount."""
    name, spent = detail["name"], detail["used"]
    since, limit = rules.limits.get(name, (0, {"amount": -1}))
    used = name, since, detail.get("account", ""), detail["period"]
    enough = spent + detail["amount"] > detail["limit"] == limit["amount"]
    return enough and spent == rules.used.get(used, 0)


def four_eyes(one: Evidence) -> Finding:
    """As many others as the rule asks for, each once and none for himself, and it happens once."""
    finding = Finding("nobody approves their own, and what is approved happens once", of="waiting")
    for target, (first, *later) in fates(one):
        if first.effect != "wait":
            continue
        approvals = [decision for decision in later if decision.effect == "approve"]
        people = [_person(one.at(decision.position)) for decision in approvals]
        last = [decision for decision in approvals if gave_the_last_approval(decision)]
        ended = [decision for decision in later if decision.effect in ("refuse", "lapse")]
        sound = (
            len({_person(one.at(target)), *people}) == 1 + len(people)
            and people == [decision.actor for decision in approvals]
            and len(people) <= (first.amount or 0)
            and len(last) == (len(people) == first.amount)
            and len(last) + len(ended) <= 1
            and not one.postings.get(target)
            and all(not one.postings.get(d.position) for d in approvals if d not in last)
        )
        said = f"{target}, of {_person(one.at(target))}, waited as {first}; {later} of {people}"
        finding.look(sound, said, *keys_of(one, target, later))
    return finding


def _person(row: Stored) -> str:
    return str(read(row.operation.principal).get("sub", ""))


def large_ones_wait(one: Evidence) -> Finding:
    """What is above a rule's amount waits, and nothing else."""
    finding = Finding("what needs approvals waits for them, and nothing else", of="operations")
    rules = Rules()
    for row in one.log:
        position = row.operation.position
        if position not in one.rejections:
            must = rules.must_wait(row.content, row.operation.principal)
            waited = waits(one, position)
            finding.examined += 1
            if must != waited:
                said = f"{position} waits: {waited}, though {rules.approvals} ask: {must}"
                finding.violate(said, *keys_of(one, position))
            for what in applied(one, row):
                rules.take(position, what.content)
    return finding


def opened_by_rule(one: Evidence) -> Finding:
    """An account is there because it was opened, or a rule allowed its first use."""
    finding = Finding("accounts open when somebody opens them, or a rule does", of="accounts")
    codes = {account.number: code for code, account in one.accounts.items()}
    rules, known = Rules(), set[str]()
    for row in one.log:
        position, content = row.operation.position, row.content
        touched = {codes[leg.account] for leg in one.postings.get(position, [])}
        for code in touched - known:
            allowed = any(fits(pattern, code) for pattern in rules.patterns)
            finding.look(allowed, f"{position} opened {code}", *keys_of(one, position))
        known |= touched
        if position not in one.rejections and not waits(one, position):
            rules.take(position, content)
            if content["kind"] == "open_account":
                known.add(content["code"])
    said = f"open are {sorted(one.accounts)}, opened were {sorted(known)}"
    finding.look(set(one.accounts) == known, said)
    return finding


RULED = limits_kept, four_eyes, large_ones_wait, opened_by_rule
