"""Conditions that a client sets: what an account must be like for its operation to take effect.

They are judged on the state that the operation meets, before anything moves. An account whose
overdraft is unlimited has any amount available.
"""

import operator
from collections.abc import Sequence
from typing import Any

from pipeline.ledger import Account
from pipeline.refusal import Refusal, refuse

# As a client sent it: {"available": {"gte": 500}, "balance": {"eq": 500}, "version": 12}
Condition = dict[str, Any]
Requirement = tuple[str, Condition]  # of the account with this code

COMPARISONS = {"gte": operator.ge, "lte": operator.le, "eq": operator.eq}


def refuse_unmet(accounts: dict[str, Account], required: Sequence[Requirement]) -> Refusal | None:
    """The first condition that does not hold, if there is one. The accounts must be known."""
    for code, condition in required:
        account = accounts[code]
        found = {"available": account.available, "balance": account.balance}
        for name, value in found.items():
            for how, wanted in condition.get(name, {}).items():
                if value is not None and not COMPARISONS[how](value, wanted):
                    return _failed(code, {name: {how: wanted}}, value)
        if condition.get("version", account.version) != account.version:
            return _failed(code, {"version": condition["version"]}, account.version)
    return None


def _failed(code: str, required: Condition, found: int) -> Refusal:
    return refuse("condition_failed", account=code, required=required, found=found)
