"""Files with personal data: what is stored, and what is written beside them, is sealed."""

import json
from itertools import count
from pathlib import Path

import pytest

from models.db import tenant_writing
from pipeline.privacy.data_keys import destroy
from tests.bank import Bank
from tests.cli.conftest import Trident

CANARY = "Grace Hopper, Arlington 7"
_numbers = count(1)


@pytest.fixture
def subject() -> str:
    """A reference that no other test uses."""
    return f"filed-{next(_numbers)}"


def line(key: str, subject: str, **members: object) -> str:
    """A transfer with the canary in it."""
    body = {"kind": "transfer", "source": "world", "destination": "ada", "currency": "EUR"}
    about = {"subject": subject, "name": CANARY}
    return json.dumps({"idempotency_key": key, **body, "amount": 1, "personal": about} | members)


def bodies(bank: Bank) -> str:
    """All that its log holds."""
    rows = bank.rows("SELECT body::text FROM operations WHERE ledger_id = :ledger")
    return "\n".join(row[0] for row in rows)


def test_a_file_is_sealed_and_known_again(
    opened: Bank, trident: Trident, tmp_path: Path, subject: str
) -> None:
    """NDJSON, and CSV with JSON in a cell; imported again every row is known."""
    lines = [line(f"k{n}", f"{subject}-{n % 3}") for n in range(20)]
    path = tmp_path / "ops.ndjson"
    path.write_text("\n".join(lines))
    assert trident("import", path, "--ledger", opened.ledger.name).exit_code == 0
    assert CANARY not in bodies(opened)
    assert opened.balance("ada") == 20
    again = trident("import", path, "--ledger", opened.ledger.name, "--json")
    assert json.loads(again.stdout)["already"] == 20
    tried = trident("import", path, "--ledger", opened.ledger.name, "--dry-run", "--json")
    assert json.loads(tried.stdout)["statuses"] == {"replayed": 20}
    sheet = tmp_path / "ops.csv"
    cell = json.dumps({"subject": subject, "name": CANARY}).replace('"', '""')
    sheet.write_text(
        "idempotency_key,kind,source,destination,amount,currency,personal\n"
        f'c1,transfer,world,ada,1.00,EUR,"{cell}"\n'
    )
    assert trident("import", sheet, "--ledger", opened.ledger.name).exit_code == 0
    assert CANARY not in bodies(opened)
    assert subject in bodies(opened)


def test_rejected_rows_hold_nothing_personal(
    opened: Bank, trident: Trident, tmp_path: Path, subject: str
) -> None:
    """Rejected, malformed, of an erased subject, no JSON at all: nothing of it is written."""
    with tenant_writing(1) as connection:
        trident_sealed = tmp_path / "first.ndjson"
        trident_sealed.write_text(line("first", subject))
        assert trident("import", trident_sealed, "--ledger", opened.ledger.name).exit_code == 0
        assert destroy(connection, 1, f"subject:{subject}")
    path = tmp_path / "ops.ndjson"
    path.write_text(
        "\n".join(
            [
                line("k1", f"{subject}-a", destination="nobody"),
                line("k2", f"{subject}-b", amount="1"),
                line("k3", subject),
                line("k4", f"{subject}-c")[:-1],
                line("k5", f"{subject}-d", amount=-1).replace("personal", "p\\u0065rsonal"),
            ]
        )
    )
    result = trident("import", path, "--ledger", opened.ledger.name, "--continue", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["rejected"] == {
        "malformed": 3,
        "unknown_account": 1,
        "subject_erased": 1,
    }
    rejected = (tmp_path / "ops.ndjson.rejected.csv").read_text()
    assert "Grace" not in rejected
    assert f"{subject}-a" in rejected
    sheet = tmp_path / "ops.csv"
    cell = json.dumps({"subject": subject, "name": CANARY}).replace('"', '""')
    sheet.write_text(
        "idempotency_key,kind,source,destination,amount,currency,personal\n"
        f'c1,transfer,world,ada,1.00,EUR,"{cell}"\n'
        f'c2,transfer,world,ada,"{cell}"\n'
    )
    assert trident("import", sheet, "--ledger", opened.ledger.name, "--continue").exit_code == 3
    assert "Grace" not in (tmp_path / "ops.csv.rejected.csv").read_text()
