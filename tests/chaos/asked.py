"""What was posted is what was asked for: legs recounted from contents, held against the rows."""

from collections import Counter
from typing import Any

from tests.chaos.evidence import Evidence
from tests.chaos.finding import Finding, Key
from tests.chaos.recount import Content, Leg, applied, decided_legs, legs_of

# What each status of an account keeps out: debits, credits.
SHUT = {
    "open": (False, False),
    "frozen": (True, True),
    "frozen_debits": (True, False),
    "frozen_credits": (False, True),
    "closed": (True, True),
}
MODES = {"both": "frozen", "debits": "frozen_debits", "credits": "frozen_credits"}


def posted_as_asked(one: Evidence) -> Finding:
    """All legs of an operation and no others: with fees, shares, rates, and all of a group."""
    finding = Finding("what is posted is what was asked for, all of it or nothing", of="operations")
    codes = {account.number: code for code, account in one.accounts.items()}
    for row in one.log:
        position = row.operation.position
        asked = [leg for what in applied(one, row) for leg in legs_of(what.content)]
        for decision in one.decisions.get(position, ()):
            asked += decided_legs(one, decision)
        found = [
            Leg(codes[account], currency, amount, pending)
            for _, _, account, _, pending, amount, _, currency in one.postings.get(position, ())
        ]
        finding.examined += 1
        if asked != found and summed(asked) != summed(found):
            said = f"the {row.operation.kind} at {position} asks for {asked}, and posted {found}"
            finding.violate(said, _key(one, position))
    return finding


def summed(legs: list[Leg]) -> dict[tuple[str, str, bool, bool], int]:
    """What goes out of and comes into each account: a capture gives back in one leg or in two."""
    sums: dict[tuple[str, str, bool, bool], int] = {}
    for account, currency, amount, pending in legs:
        if amount:
            of = account, currency, pending, amount > 0
            sums[of] = sums.get(of, 0) + amount
    return sums


def in_balance(one: Evidence) -> Finding:
    """Every currency sums to zero: in each operation, posted and reserved, and over accounts."""
    finding = Finding("every currency sums to zero", of="sums")
    for position, rows in one.postings.items():
        sums: dict[tuple[str, bool], int] = {}
        for leg in rows:
            of = leg.currency, leg.pending
            sums[of] = sums.get(of, 0) + leg.amount
        finding.examined += 1
        if any(sums.values()):
            finding.violate(f"the postings at {position} sum to {sums}", _key(one, position))
    totals: Counter[str] = Counter()
    for account in one.accounts.values():
        totals[account.currency] += account.credits_posted - account.debits_posted
    finding.look(not any(totals.values()), f"the accounts sum to {dict(totals)}")
    return finding


def conditions_met(one: Evidence) -> Finding:
    """Who asked for a version, or a balance, found it."""
    finding = Finding("what was asked for under a condition met it", of="conditions")
    codes = {account.number: code for code, account in one.accounts.items()}
    versions: Counter[str] = Counter()
    balances: Counter[str] = Counter()
    for row in one.log:
        position = row.operation.position
        for what in applied(one, row):
            for code, required in _required(what.content):
                version, balance = required.get("version"), required.get("balance", {})
                net = balances[code]
                if one.accounts[code].type in ("asset", "expense"):
                    net = -net
                met = version in (None, versions[code]) and net >= balance.get("gte", net)
                said = f"{position} asks {required} of {code}: {versions[code]}, {net}"
                finding.look(met, said, _key(one, position))
        for leg in one.postings.get(position, ()):
            if not leg.pending:
                versions[codes[leg.account]] += 1
                balances[codes[leg.account]] += leg.amount
    return finding


def _required(content: Content) -> list[tuple[str, dict[str, Any]]]:
    """Of a group none: its members meet what those before them left."""
    required = content.get("require", {})
    return [(content[side], required[side]) for side in required]


def frozen(one: Evidence) -> Finding:
    """Nothing is posted to the side of an account that is frozen, nor to one that is closed."""
    finding = Finding("nothing is posted to what is frozen or closed", of="postings")
    codes = {account.number: code for code, account in one.accounts.items()}
    status: dict[str, str] = {}
    for row in one.log:
        position, content = row.operation.position, row.content
        for leg in one.postings.get(position, ()):
            code = codes[leg.account]
            debits, credits = SHUT[status.get(code, "open")]
            finding.examined += 1
            if not leg.pending and (debits if leg.amount < 0 else credits):
                said = f"{leg} at {position}, when {code} was {status.get(code)}"
                finding.violate(said, _key(one, position))
        if position not in one.rejections:
            changed = _changed(content)
            if changed is not None:
                status[content["account"]] = changed
    for code, account in one.accounts.items():
        now = status.get(code, "open")
        finding.look(account.status == now, f"{code} is {account.status}, and was made {now}")
    return finding


def _changed(content: Content) -> str | None:
    match content["kind"]:
        case "freeze_account":
            return MODES[content.get("mode", "both")]
        case "unfreeze_account" | "reopen_account":
            return "open"
        case "close_account":
            return "closed"
    return None


ASKED = posted_as_asked, in_balance, conditions_met, frozen


def _key(one: Evidence, position: int) -> Key:
    return one.tenant, one.at(position).key
