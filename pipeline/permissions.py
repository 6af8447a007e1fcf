"""Permission: one table of actions and the roles that may do them. What is not in it is refused.

The API asks it for every request, authorize for the principal that was recorded with an operation.
`trident verify` judges the whole log by it again, so a row of `operation.` or `approvals.any` may
give a role more, but a role that loses one would make what it did before look wrong.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

from models.api_key import SUBJECT
from pipeline.principal import RECORDER, SCHEDULER, read_principal

# What a principal can be, and what it is for.
ROLES = {
    "owner": "everything, also who else is an owner, and erasure",
    "admin": "everything but that: rules, people, keys and settings as well",
    "operator": "operations, accounts and reconciliation; approves where a rule says so",
    "submitter": "operations that move money, at once or later",
    "approver": "approves or refuses what others have submitted, and reads",
    "auditor": "reads, user actions as well, and changes nothing",
    "reader": "reads the books, and changes nothing",
}

OWNERS = frozenset({"owner"})
ADMINS = OWNERS | {"admin"}
TELLERS = ADMINS | {"operator"}
SUBMITTERS = TELLERS | {"submitter"}
APPROVERS = TELLERS | {"approver"}
INSPECTORS = ADMINS | {"auditor"}
READERS = frozenset(ROLES)
TRIDENT = frozenset({SCHEDULER})
NOBODY: frozenset[str] = frozenset()

# Operations of any kind: a route that takes them all asks for this first, then for their own.
SUBMIT = "operation.*"
ANY_OF = ".*"
# What a program that asks with an API key never may, whatever its roles.
PEOPLE_ONLY = frozenset({"operation.approve", "approvals.any"})


class Permission(NamedTuple):
    """Who may do it, and what it is."""

    roles: frozenset[str]
    what: str


TABLE: dict[str, Permission] = {
    "operation.transfer": Permission(SUBMITTERS, "Move money between two accounts"),
    "operation.journal": Permission(SUBMITTERS, "Post to several accounts at once"),
    "operation.exchange": Permission(SUBMITTERS, "Change one currency into another"),
    "operation.hold": Permission(SUBMITTERS, "Reserve an amount"),
    "operation.capture": Permission(SUBMITTERS, "Take what is held, or a part of it"),
    "operation.release": Permission(SUBMITTERS, "Give back what is held"),
    "operation.expire": Permission(TRIDENT, "Let what is pending expire at its time"),
    "operation.reversal": Permission(SUBMITTERS, "Post the opposite of an operation"),
    "operation.group": Permission(
        SUBMITTERS, "Several operations, all or none; each needs its own"
    ),
    "operation.schedule": Permission(SUBMITTERS, "Have an operation happen later, or repeatedly"),
    "operation.event": Permission(frozenset({RECORDER}), "Record what a user did"),
    "operation.occur": Permission(TRIDENT, "Let a schedule happen at its time"),
    "operation.pause_schedule": Permission(SUBMITTERS, "Stop a schedule for a while"),
    "operation.resume_schedule": Permission(SUBMITTERS, "Let a paused schedule go on"),
    "operation.cancel_schedule": Permission(SUBMITTERS, "End a schedule"),
    "operation.approve": Permission(APPROVERS, "Approve an operation, if its rule names the role"),
    "operation.refuse": Permission(
        SUBMITTERS | APPROVERS, "Refuse an operation likewise, or take back one's own"
    ),
    "operation.open_account": Permission(TELLERS, "Open an account"),
    "operation.update_account": Permission(
        TELLERS, "Change an account's overdraft, name or metadata"
    ),
    "operation.freeze_account": Permission(TELLERS, "Freeze an account"),
    "operation.unfreeze_account": Permission(TELLERS, "Unfreeze an account"),
    "operation.close_account": Permission(TELLERS, "Close an account"),
    "operation.reopen_account": Permission(TELLERS, "Reopen an account"),
    "operation.set_limit": Permission(ADMINS, "Limit what may move"),
    "operation.remove_limit": Permission(ADMINS, "Take a limit away"),
    "operation.set_approval": Permission(ADMINS, "Say what needs approvals, and whose"),
    "operation.remove_approval": Permission(ADMINS, "Take such a rule away"),
    "operation.allow_accounts": Permission(ADMINS, "Let accounts open when they are first used"),
    "operation.disallow_accounts": Permission(ADMINS, "Take that back"),
    "approvals.any": Permission(ADMINS, "Approve and refuse whichever role the rule names"),
    "dry_run": Permission(SUBMITTERS | APPROVERS, "Try operations; each needs its own as well"),
    "ledgers.create": Permission(ADMINS, "Make a ledger"),
    "ledgers.read": Permission(READERS, "List ledgers, and see how far their stages have come"),
    "accounts.read": Permission(READERS, "Read accounts, their balances and postings"),
    "operations.read": Permission(READERS, "Read and search operations and postings"),
    "schedules.any": Permission(TELLERS, "Pause, resume and end the schedules of others"),
    "schedules.read": Permission(READERS, "Read schedules and their occurrences"),
    "approvals.read": Permission(READERS, "See what waits for approvals"),
    "rules.read": Permission(READERS, "Read limits, approval rules and first-use rules"),
    "reports.read": Permission(READERS, "Read balances at a date, statements and reports"),
    "reconciliation.read": Permission(READERS, "Read statements from outside and their matches"),
    "reconciliation.write": Permission(
        TELLERS, "Import statements, match, undo; book with its kind"
    ),
    "events.read": Permission(INSPECTORS, "Read what users did"),
    "own.read": Permission(READERS, "Read one's own person and sessions"),
    "own.write": Permission(READERS, "Change one's own name, password, factors and sessions"),
    "people.read": Permission(INSPECTORS, "Read who else there is"),
    "people.write": Permission(ADMINS, "Invite people, change their roles, disable them"),
    "people.owners": Permission(OWNERS, "Make somebody an owner, or an owner something else"),
    "sessions.read": Permission(INSPECTORS, "Read the sessions of others"),
    "sessions.revoke": Permission(ADMINS, "End the sessions of others"),
    "api_keys.read": Permission(INSPECTORS, "Read which API keys there are"),
    "api_keys.write": Permission(ADMINS, "Make, change, rotate and revoke API keys"),
    "tenant.read": Permission(INSPECTORS, "Read the tenant's settings"),
    "tenant.settings": Permission(ADMINS, "Change the tenant's settings"),
    "personal.read": Permission(TELLERS, "See personal data in clear"),
    "subjects.read": Permission(TELLERS, "Read the state of a person's data"),
    "subjects.export": Permission(ADMINS, "Export all that is held of a person"),
    "subjects.restrict": Permission(ADMINS, "Restrict the use of a person's data, or lift that"),
    "subjects.erase": Permission(OWNERS, "Erase a person's data for good"),
}


def allowed(roles: Iterable[str], action: str, scopes: Collection[str] | None = None) -> bool:
    """Whether one of the roles may do it, and the scopes, if there are any, leave that standing.

    A scope is an action, or `prefix.*` for all below; no scope gives what no role does.
    """
    return not roles_for(action).isdisjoint(roles) and (
        scopes is None or any(covers(scope, action) for scope in scopes)
    )


@lru_cache(maxsize=4096)  # Asked for every operation, of few principals and kinds.
def permits(principal: str, action: str) -> bool:
    """Whether the principal that was recorded with an operation may do it."""
    who = read_principal(principal)
    return for_subject(who.get("sub", ""), action) and allowed(
        who.get("roles", ()), action, who.get("scopes")
    )


def for_subject(subject: str, action: str) -> bool:
    """Whether it is for such a subject at all: a program is nobody's second pair of eyes."""
    return action not in PEOPLE_ONLY or not subject.startswith(SUBJECT)


@lru_cache(maxsize=1024)  # A process meets few principals, again and again.
def may_submit(roles: frozenset[str], scopes: tuple[str, ...] | None = None) -> bool:
    """Whether there is any kind of operation that a client may submit with them."""
    return any(
        allowed(roles, action, scopes)
        for action, row in TABLE.items()
        if covers(SUBMIT, action) and row.roles != TRIDENT
    )


def roles_for(action: str) -> frozenset[str]:
    """The roles that may do it: none if the table does not know it."""
    row = TABLE.get(action)
    return NOBODY if row is None else row.roles


def action_of(kind: str) -> str:
    """The action of submitting an operation of this kind."""
    return f"operation.{kind}"


def is_scope(text: str) -> bool:
    """Whether it is an action of the table, or the beginning of some."""
    return any(covers(text, action) for action in TABLE)


def covers(scope: str, action: str) -> bool:
    """Whether the action is the scope, or stands below it."""
    return scope == action or (scope.endswith(ANY_OF) and action.startswith(scope[:-1]))
