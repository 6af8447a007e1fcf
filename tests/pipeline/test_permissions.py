"""The table of permissions: whole, no looser than it says, and the only place that says it."""

import ast
from pathlib import Path

import pytest

from pipeline.kinds import KINDS, OFFERED
from pipeline.kinds.approvals import ROLES as APPROVING
from pipeline.kinds.approvals import may_approve
from pipeline.permissions import (
    ROLES,
    SUBMIT,
    TABLE,
    action_of,
    allowed,
    covers,
    is_scope,
    may_submit,
    permits,
)
from pipeline.principal import RECORDER, SCHEDULER
from pipeline.settings import Approval
from pipeline.strict_json import canonical

ROOT = Path(__file__).parents[2]

MONEY = {"transfer", "journal", "exchange", "hold", "capture", "release", "reversal", "group"}
LATER = {"schedule", "pause_schedule", "resume_schedule", "cancel_schedule"}
ACCOUNTS = {"open_account", "update_account", "freeze_account", "unfreeze_account"}
ACCOUNTS |= {"close_account", "reopen_account"}
RULES = {"set_limit", "remove_limit", "set_approval", "remove_approval"}
RULES |= {"allow_accounts", "disallow_accounts"}
# What each role may submit: written down here once more, by role.
MAY_SUBMIT = {
    "owner": MONEY | LATER | ACCOUNTS | RULES | {"approve", "refuse"},
    "admin": MONEY | LATER | ACCOUNTS | RULES | {"approve", "refuse"},
    "operator": MONEY | LATER | ACCOUNTS | {"approve", "refuse"},
    "submitter": MONEY | LATER | {"refuse"},
    "approver": {"approve", "refuse"},
    "auditor": set(),
    "reader": set(),
}


def test_every_kind_has_its_row() -> None:
    """A kind without one nobody could submit; a row without a kind would promise something."""
    assert {action for action in TABLE if covers(SUBMIT, action)} == set(map(action_of, KINDS))


def test_a_role_submits_these_kinds_and_no_others() -> None:
    """Each role; what Trident alone submits is no person's."""
    assert set(MAY_SUBMIT) == set(ROLES)
    for role, kinds in MAY_SUBMIT.items():
        assert {kind for kind in KINDS if allowed([role], action_of(kind))} == kinds
        assert may_submit(frozenset({role})) is bool(kinds)
    internal = set(KINDS) - set(OFFERED)
    ours = [SCHEDULER, RECORDER]
    assert {kind for kind in KINDS if allowed(ours, action_of(kind))} == internal
    assert not set(ours) & set(ROLES)


def test_every_role_reads_the_books() -> None:
    """The reader does nothing but what all may, and the auditor reads more and changes nothing."""
    reader = {action for action in TABLE if allowed(["reader"], action)}
    for role in ROLES:
        assert all(allowed([role], action) for action in reader)
    assert reader >= {"operations.read", "accounts.read", "reports.read", "rules.read"}
    auditor = {action for action in TABLE if allowed(["auditor"], action)} - reader
    assert "events.read" in auditor
    assert all(action.endswith(".read") for action in auditor)


def test_an_owner_may_do_what_an_admin_may_and_more() -> None:
    """Owners and erasure are theirs alone."""
    more = {a for a in TABLE if allowed(["owner"], a) and not allowed(["admin"], a)}
    assert more == {"people.owners", "subjects.erase"}
    assert not [a for a in TABLE if allowed(["admin"], a) and not allowed(["owner"], a)]


@pytest.mark.parametrize("role", [*ROLES, SCHEDULER, RECORDER])
@pytest.mark.parametrize(
    "action",
    ["", "*", ".*", "operation", "operation.", SUBMIT, "operation.bribe", "Operation.transfer"],
)
def test_what_is_not_in_the_table_is_refused(role: str, action: str) -> None:
    """To every role."""
    assert not allowed([role], action)
    assert not allowed([role], action, [action])


@pytest.mark.parametrize("roles", [[], ["king"], ["Admin"], ["admin "], [""], ["*"]])
def test_a_role_that_there_is_not_may_do_nothing(roles: list[str]) -> None:
    """Nothing at all."""
    assert not [action for action in TABLE if allowed(roles, action)]
    assert not may_submit(frozenset(roles))


@pytest.mark.parametrize(
    ("scopes", "left"),
    [
        ((), set()),
        (("operation.hold",), {"operation.hold"}),
        (("operation.set_limit",), set()),  # the role does not permit it
        (("operation",), set()),
        (("*",), set()),
        (("oper*",), set()),
        (("operation.tr*",), set()),
        (("personal.*", "operation.approve.*"), set()),
        (("king", "dry_run"), {"dry_run"}),
        (("schedules.*", "rules.read"), {"schedules.read", "rules.read"}),
        (("operation.*",), {action_of(kind) for kind in MAY_SUBMIT["submitter"]}),
    ],
)
def test_scopes_only_narrow(scopes: tuple[str, ...], left: set[str]) -> None:
    """What is left of a submitter's permissions."""
    assert {action for action in TABLE if allowed(["submitter"], action, scopes)} == left
    submits = any(covers(SUBMIT, action) for action in left)
    assert may_submit(frozenset({"submitter"}), scopes) is submits
    who = canonical({"roles": ["submitter"], "scopes": list(scopes), "sub": "key:1"}).decode()
    assert {action for action in TABLE if permits(who, action)} == left


def test_a_scope_names_something() -> None:
    """An action, or the beginning of some up to a dot."""
    assert all(map(is_scope, [*TABLE, SUBMIT, "reports.*"]))
    assert not any(map(is_scope, ["", "*", ".*", "operation", "report.*", "reports.*.*"]))


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ({"roles": ["operator"]}, True),
        ({"roles": ["approver"]}, False),
        ({"roles": ["admin"]}, True),
        ({"roles": ["owner"]}, True),
        ({"roles": ["admin"], "scopes": ["operation.approve"]}, False),
        ({"roles": ["admin"], "scopes": ["operation.approve", "approvals.any"]}, True),
        ({"roles": ["operator"], "scopes": ["operation.approve"]}, True),
    ],
)
def test_who_approves_under_a_rule_for_operators(who: dict[str, object], expected: bool) -> None:
    """Those who have the role, and those whom the table lets approve under any rule."""
    rule = Approval("large", "EUR", 0, 1, "operator", None, None, None)
    assert may_approve(rule, canonical(who).decode()) is expected


def test_a_rule_names_roles_that_may_approve() -> None:
    """Otherwise what it is over could wait for ever."""
    assert all(allowed([role], action_of("approve")) for role in APPROVING)


def test_no_other_code_knows_roles_by_name() -> None:
    """The API and the pipeline ask the table; approval rules alone name roles, as data."""
    data = {"pipeline/permissions.py", "pipeline/kinds/approvals.py"}
    data |= {"pipeline/kinds/set_approval.py", "api/schemas_rules.py"}  # examples
    data |= {"api/identity/schemas.py", "api/identity/schemas_api_keys.py"}
    for path in sorted([*ROOT.glob("api/**/*.py"), *ROOT.glob("pipeline/**/*.py")]):
        if str(path.relative_to(ROOT)) in data:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant):
                assert node.value not in ROLES, f"{path}:{node.lineno} names a role"
