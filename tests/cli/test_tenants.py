"""`trident tenants` and `trident events`, as the installation's owner uses them."""

import json
from pathlib import Path

import pytest

from models.db import tenant_reading
from models.ledger import event_ledger
from models.settings import SettingsError, settings
from models.tenant import tenant_id_of
from pipeline.drain import drain
from pipeline.stage import STAGES
from tests.cli.conftest import Trident

_numbers = iter(range(1, 1000))
ACCOUNTS = "code,type,currency,overdraft\nworld,asset,{},unlimited\n"


@pytest.fixture
def acme(trident: Trident) -> str:
    """A new tenant's name."""
    name = f"acme-{next(_numbers)}"
    assert trident("tenants", "create", name).exit_code == 0
    return name


def work_events(name: str) -> None:
    """Let the stages work the tenant's events."""
    tenant_id = tenant_id_of(name)
    with tenant_reading(tenant_id) as connection:
        ledger = event_ledger(connection, tenant_id)
    assert ledger is not None
    for stage in STAGES:
        drain(stage, ledger)


def test_a_tenant_is_created_and_listed(trident: Trident, acme: str) -> None:
    """By name; a second one of the name is refused with a sentence and status 2."""
    listed = json.loads(trident("tenants", "list", "--json").stdout)
    assert {"default", acme} <= {one["tenant"] for one in listed}
    assert acme in trident("tenants", "list").stdout
    again = trident("tenants", "create", acme)
    assert (again.exit_code, again.stderr) == (
        2,
        f"trident: There is a tenant {acme} already; `trident tenants list` shows all.\n",
    )
    assert trident("tenants", "show", "nobody").exit_code == 2


def test_settings_are_words(trident: Trident, acme: str) -> None:
    """What show prints is what set takes; nothing behind the = takes a setting away."""
    words = (
        "currencies=EUR,JPY",
        "limits=EUR:10000.50,JPY:7",
        "retention_days=3650",
        "cors_origins=https://a.example,https://b.example:8443",
        "rate_limits=key:600,tenant:6000",
    )
    assert "has these settings now" in trident("tenants", "set", acme, *words).stdout
    assert "so already" in trident("tenants", "set", acme, *words).stdout
    shown = trident("tenants", "show", acme).stdout
    assert all(f"settings  {word}\n" in shown for word in words), shown
    assert trident("tenants", "set", acme, *(f"{word.split('=')[0]}=" for word in words[1:]))
    document = json.loads(trident("tenants", "show", acme, "--json").stdout)
    assert document["settings"] == {"currencies": ["EUR", "JPY"]}
    assert trident("tenants", "allow", acme, "currencies=EUR").exit_code == 0
    refused = trident("tenants", "set", acme, "currencies=EUR,JPY,USD")
    assert refused.exit_code == 2
    assert refused.stderr == "trident: currencies: The installation allows EUR.\n"


@pytest.mark.parametrize(
    "word",
    [
        "currencies",
        "colour=red",
        "currencies=euro",
        "limits=EUR",
        "limits=EUR:1.001",
        "limits=ZZZ:1",
        "retention_days=x",
        "rate_limits=key:-1",
        "rate_limits=me:1",
        "cors_origins=*",
    ],
)
def test_words_that_are_no_settings(trident: Trident, acme: str, word: str) -> None:
    """One sentence and status 2; nothing is changed."""
    refused = trident("tenants", "set", acme, word)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("trident: ")
    assert json.loads(trident("tenants", "show", acme, "--json").stdout)["settings"] == {}


def test_a_deleted_tenant_imports_nothing(trident: Trident, acme: str, tmp_path: Path) -> None:
    """Its books can still be read and proved; restored, everything is as it was."""
    path = tmp_path / "accounts.csv"
    path.write_text(ACCOUNTS.format("EUR"))
    assert trident("tenants", "delete", acme).exit_code == 0
    refused = trident("accounts", "import", path, "--tenant", acme)
    assert refused.exit_code == 2
    assert f"`trident tenants restore {acme}` takes it back" in refused.stderr
    for words in (("people", "invite", "a@example.com"), ("api-keys", "create", "shop")):
        refused = trident(*words, "--role", "reader", "--tenant", acme)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("trident: The tenant is deleted: nothing is accepted")
    assert trident("verify", "--tenant", acme).exit_code == 0
    assert trident("tenants", "delete", acme).exit_code == 2
    assert "deleted" in trident("tenants", "show", acme).stdout
    assert trident("tenants", "restore", acme).exit_code == 0
    assert trident("tenants", "restore", acme).exit_code == 2


def test_an_import_names_only_currencies_of_the_tenant(
    trident: Trident, acme: str, tmp_path: Path
) -> None:
    """A row in another one is malformed, with its line; nothing is accepted."""
    trident("tenants", "set", acme, "currencies=EUR")
    path = tmp_path / "accounts.csv"
    path.write_text(ACCOUNTS.format("USD"))
    for more in ((), ("--dry-run",)):
        refused = trident("accounts", "import", path, "--tenant", acme, *more)
        assert refused.exit_code == 2
        assert "USD is none of the tenant's currencies" in refused.stderr


def test_events_are_shown_and_proved(trident: Trident, acme: str) -> None:
    """Newest first, filtered; verify proves the ledger of events with the others, or alone."""
    trident("tenants", "set", acme, "retention_days=30")
    work_events(acme)
    lines = json.loads(trident("events", "--tenant", acme, "--json").stdout)
    assert [one["action"] for one in lines] == ["tenant.settings_changed", "tenant.created"]
    assert {one["sealed"] for one in lines} == {"yes"}
    assert all(one["actor"].startswith("cli:") for one in lines)
    (one,) = json.loads(
        trident("events", "--tenant", acme, "--action", "tenant.created", "--json").stdout
    )
    assert one["target"] == f"tenant:{acme}"
    assert "tenant.settings_changed" in trident("events", "--tenant", acme).stdout
    assert "no such events" in trident("events", "--tenant", acme, "--actor", "nobody").stdout
    both = trident("verify", "--tenant", acme)
    assert "Ledger main" in both.stdout
    assert "(ledger trident-events)" in both.stdout
    alone = trident("verify", "--tenant", acme, "--ledger", "trident-events")
    assert alone.exit_code == 0
    assert "Ledger main" not in alone.stdout
    hidden = trident("operations", "--tenant", acme, "--ledger", "trident-events")
    assert hidden.exit_code == 2
    assert "It has: main." in hidden.stderr


def test_only_the_owner_may(
    trident: Trident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the owner's address the command says so."""
    monkeypatch.delenv("TRIDENT_OWNER_DATABASE_URL")
    monkeypatch.setenv("TRIDENT_HOME", str(tmp_path))
    settings.cache_clear()
    with pytest.raises(SettingsError, match="TRIDENT_OWNER_DATABASE_URL is not set"):
        trident("tenants", "list")
