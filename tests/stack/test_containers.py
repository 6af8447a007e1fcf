"""Settings: docker-compose.yml and README.md have all; each process gets those that it needs."""

import os
import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs would be one more package

from cli.stack import apps
from cli.stack.root import ROOT
from models import settings
from models.mail import SMTP_URL

# What tests alone set (pipeline/crash.py), and what the image sets.
NOT_SETTLED = {"TRIDENT_CRASH_AT", "TRIDENT_HOME"}
OWNER = "TRIDENT_OWNER_DATABASE_URL"


class Watched(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, *otherwise: Any) -> Any:
        """As of any dictionary."""
        self.asked.add(name)
        return super().get(name, *otherwise)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The containers, by name."""
    read = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return dict(read["services"])


@pytest.fixture
def known(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every setting that a process reads, and those that the Procfile fills in."""
    watched = Watched(os.environ)
    monkeypatch.setattr(os, "environ", watched)
    settings.settings()
    read = {name for name in watched.asked if name.startswith("TRIDENT_")}
    return read | set(re.findall(r"\$\{(TRIDENT_\w+)", (ROOT / "Procfile").read_text()))


def test_containers_run_the_processes_of_the_procfile(services: dict[str, Any]) -> None:
    """There is one for each line, which runs that line, and is told what it needs alone."""
    named = {name for name in services if "command" in services[name] and name in apps.names()}
    assert named == set(apps.names()) == set(apps.NEEDS)
    for name in apps.names():
        assert services[name]["command"] == name
        told = apps.SECRETS & services[name]["environment"].keys()
        mailing = apps.FOR_MAIL if name == "worker" else set()
        assert told <= apps.NEEDS[name] | mailing, name
        for secret in mailing:
            given = services[name]["environment"][secret]
            assert given == f"${{TRIDENT_SMTP_URL:+${{{secret}-}}}}"
    assert all(services["upgrade"]["environment"][one] is None for one in apps.FOR_MAIL)


def test_every_setting_reaches_the_containers(services: dict[str, Any], known: set[str]) -> None:
    """What a process may be told, docker-compose.yml passes on to one; the ports are its own."""
    told = {name for service in services.values() for name in service.get("environment", {})}
    ports = {"TRIDENT_PORT", "TRIDENT_FLOWER_PORT"}
    assert known - told == NOT_SETTLED | ports
    assert {name for name in services if OWNER in services[name].get("environment", {})} == {
        "upgrade"
    }


def test_the_readme_has_every_setting(known: set[str]) -> None:
    """In its table of variables, or where it tells of the home."""
    read = (ROOT / "README.md").read_text()
    missing = {name for name in known if f"`{name}`" not in read}
    assert missing == {"TRIDENT_CRASH_AT"}


def test_a_process_of_the_stack_is_told_what_it_needs() -> None:
    """The rest of the secrets is empty there, so that nobody looks it up elsewhere."""
    everything = dict.fromkeys([*apps.SECRETS, "TRIDENT_BROKER_URL", SMTP_URL], "told")
    assert {name for name, text in apps.told("flower", everything).items() if text} == {
        "TRIDENT_BROKER_URL",
        *apps.FLOWER,
    }
    for name in apps.names():
        assert not apps.told(name, everything)[OWNER]
    assert not apps.told("beat", everything)[SMTP_URL]
    assert apps.told("worker", everything)["TRIDENT_KEKS"]
    without_mail = apps.told("worker", everything | {"TRIDENT_SMTP_URL": ""})
    assert {name for name in apps.FOR_MAIL if without_mail[name]} == set()
