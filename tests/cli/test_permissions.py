"""`trident permissions`, and what `trident token` takes of it."""

import json
from pathlib import Path

import pytest

from pipeline.permissions import ROLES, TABLE
from tests.cli.conftest import Trident
from tests.cli.test_token import claims_of

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"


def test_the_page_is_what_the_code_says(trident: Trident) -> None:
    """docs/permissions.md is the command's output, to the letter."""
    told = "`trident permissions --format markdown > docs/permissions.md` makes it anew"
    assert trident("permissions", "--format", "markdown").stdout == PAGE.read_text(), told


def test_programs_get_the_same_table(trident: Trident) -> None:
    """As CSV and JSON, a line for each action."""
    found = json.loads(trident("permissions", "--format", "json").stdout)
    assert [one["action"] for one in found] == list(TABLE)
    for one in found:
        row = TABLE[one["action"]]
        assert {role for role in ROLES if one[role]} == row.roles & set(ROLES)
    lines = trident("permissions", "--format", "csv").stdout.splitlines()
    assert len(lines) == 1 + len(TABLE)


def test_people_see_every_action(trident: Trident) -> None:
    """The table on the terminal, without a database."""
    shown = trident("permissions").stdout
    assert all(action in shown for action in TABLE)


def test_every_role_can_be_a_tokens(trident: Trident) -> None:
    """And the help says what each is for; Trident's own role is none of them."""
    words = trident("token", "--help").stdout
    for role, what in ROLES.items():
        assert f"{role:9}  {what}" in words
        assert claims_of(trident("token", "--role", role).stdout)["roles"] == [role]
    assert trident("token", "--role", "scheduler").exit_code == 2


def test_a_token_may_be_for_less(trident: Trident) -> None:
    """Scopes and ledgers, where they are asked for."""
    scopes = ["--scope", "operation.transfer", "--scope", "reports.*"]
    claims = claims_of(trident("token", *scopes, "--ledger", "main").stdout)
    assert (claims["scopes"], claims["ledgers"]) == (
        ["operation.transfer", "reports.*"],
        ["main"],
    )
    plain = claims_of(trident("token").stdout)
    assert "scopes" not in plain
    assert "ledgers" not in plain


@pytest.mark.parametrize("scope", ["operation", "*", "report.*", ""])
def test_a_scope_that_names_nothing_is_refused(trident: Trident, scope: str) -> None:
    """Exit 2, and no token."""
    result = trident("token", "--scope", scope)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "`trident permissions` lists what there is." in result.stderr
