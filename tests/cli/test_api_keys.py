"""`trident api-keys`: made, listed, rotated and revoked at the command line."""

import json

from models.api_key import hash_of, read_key, show_id
from models.db import tenant_reading
from pipeline.identity import api_keys
from tests.cli.conftest import Trident

CREATE = ("api-keys", "create", "nightly import", "--role", "submitter")


def test_a_key_is_printed_once_and_listed(trident: Trident) -> None:
    """It is spelled as a key, narrowed as asked for, and its secret is in no list."""
    words = ("--scope", "operation.transfer", "--ledger", "main", "--limit", "EUR:12.50")
    key = trident(*CREATE, *words, "--days", "30").stdout.strip()
    spelled = read_key(key)
    assert spelled is not None
    with tenant_reading(spelled.tenant_id) as connection:
        found = api_keys.find(connection, *spelled)
    assert found is not None
    assert found.powers == (("submitter",), ("operation.transfer",), ("main",), {"EUR": 1250})
    assert found.expires_at is not None
    assert found.created_by.startswith("cli:")
    listed = trident("api-keys", "list", "--json").stdout
    (one,) = [one for one in json.loads(listed) if one["key"] == show_id(spelled.key_id)]
    assert (one["name"], one["roles"], one["state"]) == ("nightly import", "submitter", "counts")
    assert key not in listed
    assert hash_of(key).hex() not in listed
    assert trident("api-keys", "list").exit_code == 0


def test_a_key_is_rotated_and_revoked(trident: Trident) -> None:
    """A new secret of the same key; then it ends, and is rotated no more."""
    key = trident(*CREATE).stdout.strip()
    spelled = read_key(key)
    assert spelled is not None
    name = show_id(spelled.key_id)
    rotated = trident("api-keys", "rotate", name, "--grace-hours", "1").stdout.strip()
    assert read_key(rotated) == spelled
    assert rotated != key
    for _ in range(2):
        assert trident("api-keys", "revoke", name).exit_code == 0
    refused = trident("api-keys", "rotate", name)
    assert (refused.exit_code, "revoked for good" in refused.stderr) == (2, True)


def test_what_cannot_be_asked_for_is_said(trident: Trident) -> None:
    """An unknown key, an unknown action: status 2 and a sentence."""
    assert trident("api-keys", "revoke", "ak_1").exit_code == 2
    refused = trident(*CREATE, "--scope", "everything")
    assert (refused.exit_code, "trident permissions" in refused.stderr) == (2, True)
