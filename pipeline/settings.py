"""The rules that a ledger's operations have set for those that come after them.

Rules never change in place: an operation that sets one replaces the books' Settings, so whoever
holds the old ones holds what was in force then.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from pipeline.strict_json import canonical

# What one ledger may have of each sort: each run reads all of them.
RULES_MAX = 100
# Stands behind the colon of a pattern, or alone for every code.
ANY = "*"


class Limit(NamedTuple):
    """At most `amount` of a currency per operation, day or month.

    `account` is a code or a pattern: what leaves each such account counts. Without it the amounts
    of the operations count, for the ledger as a whole. `operation_kind` and `role` narrow down
    which operations count. `since` is the position from which on it counts.
    """

    name: str
    per: str
    currency: str
    amount: int
    account: str | None
    operation_kind: str | None
    role: str | None
    since: int


class Approval(NamedTuple):
    """An operation of more than `above` waits until so many `people` with a role approve it."""

    name: str
    currency: str
    above: int
    people: int
    by_role: str
    operation_kind: str | None
    role: str | None
    expires_after_s: int | None


class AccountRule(NamedTuple):
    """An unknown code that fits the pattern is opened when it is first used.

    Without a currency it keeps that of its first leg. `overdraft` None is unlimited.
    """

    pattern: str
    type: str
    currency: str | None
    overdraft: int | None


class Settings(NamedTuple):
    """All rules of a ledger, by name or pattern, and the position that changed them last."""

    position: int = 0
    limits: dict[str, Limit] = {}  # noqa: RUF012 - never changed in place
    approvals: dict[str, Approval] = {}  # noqa: RUF012
    accounts: dict[str, AccountRule] = {}  # noqa: RUF012


# The parts of Settings, by the name that the stored document has for them.
RULES: dict[str, Any] = {"limits": Limit, "approvals": Approval, "accounts": AccountRule}
NONE = Settings()


def with_rule(settings: Settings, position: int, part: str, name: str, rule: Any) -> Settings:
    """The settings from `position` on, with the rule under this name; None takes it away.

    Rules stand in the order of their names, whenever they were set: which of two refuses an
    operation must not depend on whether they were read or replayed.
    """
    rules = {**getattr(settings, part), name: rule}
    if rule is None:
        del rules[name]
    return settings._replace(position=position, **{part: dict(sorted(rules.items()))})


def document_of(settings: Settings) -> bytes:
    """The rules as canonical JSON."""
    return canonical(shown(settings))


def shown(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The rules as lists, in the order of their names."""
    return {part: [rule._asdict() for rule in getattr(settings, part).values()] for part in RULES}


# A process works for few ledgers that have rules, again and again.
@lru_cache(maxsize=256)
def read_settings(position: int, document: str) -> Settings:
    """The settings behind a stored document."""
    read = orjson.loads(document)
    parts = {}
    for part, made in RULES.items():
        rules = [made(**members) for members in read[part]]
        parts[part] = {rule[0]: rule for rule in rules}
    return Settings(position, **parts)


def fits(pattern: str, code: str) -> bool:
    """Whether the account's code is the pattern, or stands below `prefix:*`."""
    if pattern.endswith(ANY):
        return code.startswith(pattern[: -len(ANY)])
    return pattern == code


def rule_for_account(settings: Settings, code: str) -> AccountRule | None:
    """The rule by which an unknown code is opened: the longest pattern that fits wins."""
    fitting = [rule for pattern, rule in settings.accounts.items() if fits(pattern, code)]
    return max(fitting, key=lambda rule: (rule.pattern == code, len(rule.pattern)), default=None)
