"""Kinds in CSV files: what fits into cells, and what does not."""

from pathlib import Path
from typing import Any

import pytest

from cli.rows import FLAT_MEMBERS, NESTED_KINDS
from pipeline.kinds import OFFERED
from tests.cli.test_files import body_of, faults_of

HOLD = "op_00000000kg0gr0000000080002"
# Header, line, and the members that they are.
FITS: list[tuple[str, str, dict[str, Any]]] = [
    ("target,amount_minor,final", f"capture,{HOLD},500,true", {"amount": 500, "final": True}),
    ("target,final", f"capture,{HOLD},false", {"final": False}),
    ("account,mode", "freeze_account,a,debits", {"mode": "debits"}),
    ("account", "reopen_account,a", {"account": "a"}),
    (
        "source,destination,amount,currency,to_currency,rate",
        "exchange,a,b,12.50,EUR,JPY,164.25",
        {"amount": 1250, "currency": "EUR", "to_currency": "JPY", "rate": "164.25"},
    ),
]


@pytest.mark.parametrize(("header", "line", "members"), FITS)
def test_kinds_that_fit_into_cells(
    tmp_path: Path, header: str, line: str, members: dict[str, Any]
) -> None:
    """Each cell becomes what the API takes."""
    body = body_of(tmp_path, f"idempotency_key,kind,{header}", f"k1,{line}")
    assert members.items() <= body.items()


def test_a_flag_that_is_none(tmp_path: Path) -> None:
    """It is told where it stands."""
    header = "idempotency_key,kind,target,final"
    assert faults_of(tmp_path, f"{header}\nk1,capture,{HOLD},yes\n") == [
        "line 2, column 4 (final): This is true or false."
    ]


def test_only_what_must_be_nested_keeps_a_kind_out() -> None:
    """A transfer may have fees, and needs none; a group is nothing without its operations."""
    assert {"journal", "group"} <= NESTED_KINDS
    assert "transfer" not in NESTED_KINDS
    nested = {"require", "fees", "spread", "total", "legs", "operations"}
    assert nested.isdisjoint(FLAT_MEMBERS)
    assert nested <= {name for kind in OFFERED.values() for name in kind.schema.fields}
