"""`trident subjects`: what is held of a person, exported, restricted, erased and certified."""

import json
from itertools import count
from pathlib import Path

import pytest

from tests.bank import Bank
from tests.cli.conftest import Trident
from tests.cli.test_personal_files import CANARY, line
from tests.cli.test_tenants import work_events

_numbers = count(1)


@pytest.fixture
def subject(opened: Bank, trident: Trident, tmp_path: Path) -> str:
    """Somebody whom one operation names."""
    ref = f"told-{next(_numbers)}"
    path = tmp_path / "ops.ndjson"
    path.write_text(line("k1", ref))
    assert trident("import", path, "--ledger", opened.ledger.name).exit_code == 0
    return ref


def test_an_erasure_from_the_first_question_to_the_proof(
    trident: Trident, subject: str, tmp_path: Path
) -> None:
    """Shown, exported, restricted, erased; the certificate verifies, a changed one does not."""
    assert json.loads(trident("subjects", "show", subject).stdout)["status"] == "open"
    exported = json.loads(trident("subjects", "export", subject).stdout)
    assert exported["operations"][0]["personal"]["name"] == CANARY
    assert json.loads(trident("subjects", "restrict", subject).stdout)["status"] == "restricted"
    assert json.loads(trident("subjects", "unrestrict", subject).stdout)["status"] == "open"
    assert trident("subjects", "erase", subject, stdin="n\n").exit_code == 1
    assert trident("subjects", "certificate", subject).exit_code == 2
    assert json.loads(trident("subjects", "erase", subject, "--yes").stdout)["status"] == "erased"
    work_events("default")
    proof = trident("subjects", "certificate", subject)
    file = tmp_path / "proof.json"
    file.write_text(proof.stdout)
    checked = trident("subjects", "certificate", "--check", file)
    assert checked.exit_code == 0
    assert checked.stdout.startswith("The signature is ours, and the log agrees.")
    document = json.loads(proof.stdout)
    file.write_text(document["jws"])
    assert trident("subjects", "certificate", "--check", file).exit_code == 0
    file.write_text(proof.stdout.replace('"jws": "e', '"jws": "f'))
    forged = trident("subjects", "certificate", "--check", file)
    assert (forged.exit_code, forged.stdout) == (2, "")
    for name in document.keys() - {"jws"} | {"by_law"}:
        file.write_text(json.dumps({**document, name: "forged"}))
        forged = trident("subjects", "certificate", "--check", file)
        assert (forged.exit_code, forged.stdout) == (2, "")
        assert forged.stderr == f"trident: This is not what was signed: {name}.\n"
    file.write_bytes(b"{\xff}")
    assert "not UTF-8" in trident("subjects", "certificate", "--check", file).stderr
    file.write_text(proof.stdout.replace("{", '{"subject": "somebody-else",', 1))
    twice = trident("subjects", "certificate", "--check", file)
    assert "names the member 'subject' twice" in twice.stderr
    for act in ("restrict", "unrestrict", "export"):
        refused = trident("subjects", act, subject)
        assert refused.exit_code == 2
        assert "erased" in refused.stderr


def test_an_unknown_subject_is_said_to_be_unknown(trident: Trident) -> None:
    """With a sentence and status 2, whatever is asked."""
    for words in (("show",), ("export",), ("restrict",), ("erase", "--yes"), ("certificate",)):
        result = trident("subjects", words[0], "nobody", *words[1:])
        assert (result.exit_code, result.stderr) == (
            2,
            "trident: Nothing is known of the subject nobody.\n",
        )


def test_who_waits_for_the_end_of_retention_is_listed(trident: Trident, subject: str) -> None:
    """With the day, and who asked."""
    assert trident("tenants", "set", "default", "retention_days=30").exit_code == 0
    try:
        waits = json.loads(trident("subjects", "erase", subject, "--yes").stdout)
    finally:
        assert trident("tenants", "set", "default", "retention_days=").exit_code == 0
    assert waits["status"] == "erasure_due"
    listed = json.loads(trident("subjects", "list-due", "--json").stdout)
    assert subject in [one["subject"] for one in listed]
    assert subject in trident("subjects", "list-due").stdout
