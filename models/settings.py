"""The one module that reads the environment: once, and all its faults at the same time.

A variable that is not set is looked up in `$TRIDENT_HOME/env.json`, which a running stack
writes. So a command in a second terminal finds the servers that `make run` started.
"""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, NamedTuple

from environs import Env, EnvValidationError
from marshmallow import validate

from models import keks, mail
from models.keks import KeksError, KekSource
from models.mail import MailSettings

DEFAULT_HOME = ".trident"
LOG_LEVEL = "INFO"
# How far a ledger's log may run ahead of its posting: 25 s of work at the 8,000 operations a second
# that two cores post. Beyond that a caller is better told to come back than given a promise.
MAX_LAG = 200_000
# Requests a minute, unless it is settled otherwise: what one machine answers at the most. Of
# log-ins, what a family or an office behind one address needs and a guesser does not get far with.
RATE_LIMITS = {"tenant": 600_000, "key": 600_000, "address": 600_000, "login": 30}

TLS_CERTIFICATE = "TRIDENT_TLS_CERTIFICATE"
TLS_KEY = "TRIDENT_TLS_KEY"

Network = IPv4Network | IPv6Network


class Tls(NamedTuple):
    """Files of PEM: the certificate with those between it and its root, and its key."""

    certificate: Path
    key: Path


class SettingsError(Exception):
    """The environment does not describe a Trident installation. The message lists every fault."""


@dataclass(frozen=True)
class Settings:
    """Where the servers are and who we are to them. URLs as SQLAlchemy and kombu read them."""

    home: Path
    database_url: str  # the application's role, trident_app: owns nothing, bound by RLS
    owner_database_url: str | None  # migrations only
    sweeper_database_url: str | None  # progress of all tenants, nothing else
    broker_url: str
    keks: KekSource | None  # under which every other key is wrapped; None: this opens no key
    heads_url: str  # where audit block heads are kept outside the database: a folder or s3://
    log_level: str
    max_lag: int  # operations of one ledger that may wait to be posted before intake says 503
    rate_limits: dict[str, int]  # requests a minute, by what RATE_LIMITS names
    trusted_proxies: tuple[Network, ...]  # whose X-Forwarded-For counts
    tls: Tls | None  # what the API serves with (the Procfile); None: plain HTTP
    mail: MailSettings | None  # how invitations and resets are sent; None: they are shown once
    crash_at: str | None  # tests only, see pipeline/crash.py


class Bells(NamedTuple):
    """What a process needs that only passes bells on: beat and Flower know no database, no key."""

    broker_url: str
    log_level: str


def home() -> Path:
    """TRIDENT_HOME as an absolute path; it need not exist."""
    return Path(os.environ.get("TRIDENT_HOME", DEFAULT_HOME)).expanduser().resolve()


def running_stack(at: Path) -> dict[str, str]:
    """The variables that the stack running in the home `at` left for us; {} when there is none."""
    try:
        return dict(json.loads((at / "env.json").read_text()))
    except FileNotFoundError:
        return {}


def bells() -> Bells:
    """The part of the settings that leads to the broker; raises SettingsError."""
    known = {**running_stack(home()), **os.environ}
    broker = known.get("TRIDENT_BROKER_URL")
    if not broker:
        raise SettingsError(_message({"TRIDENT_BROKER_URL": "Environment variable not set."}))
    return Bells(_verified(broker), known.get("TRIDENT_LOG_LEVEL", LOG_LEVEL))


@lru_cache
def settings() -> Settings:
    """Read and check the environment; raises SettingsError with every fault, one a line."""
    at = home()
    for name, value in running_stack(at).items():
        os.environ.setdefault(name, value)
    env = Env(eager=False)
    read = _read(env, at)
    faults: dict[str, str] = {}
    try:
        read["keks"] = keks.source_of(os.environ)
    except KeksError as error:
        faults[keks.GIVEN] = f"{error}."
    try:
        read["tls"] = tls(os.environ)
    except ValueError as error:
        faults[TLS_CERTIFICATE] = f"{error}."
    for name, read_one in (("RATE_LIMITS", _rate_limits), ("TRUSTED_PROXIES", _networks)):
        try:
            read[name.lower()] = read_one(os.environ.get(f"TRIDENT_{name}", ""))
        except ValueError as error:
            faults[f"TRIDENT_{name}"] = f"{error}."
    read["mail"] = mail.read(os.environ, faults)
    try:
        env.seal()
    except EnvValidationError as error:
        faults |= _faults_of(error)
    if faults:
        if "keks" in read and read["keks"] is None:  # no fault by itself; but told with the others
            faults[keks.GIVEN] = keks.NONE
        raise SettingsError(_message(faults))
    return Settings(**read)


def _read(env: Env, at: Path) -> dict[str, Any]:
    with env.prefixed("TRIDENT_"):
        return {
            "home": at,
            "database_url": env.str("DATABASE_URL"),
            # Empty in a process of the stack that is not to have it (cli/stack/apps.py).
            "owner_database_url": env.str("OWNER_DATABASE_URL", None) or None,
            "sweeper_database_url": env.str("SWEEPER_DATABASE_URL", None) or None,
            "broker_url": _verified(env.str("BROKER_URL") or ""),
            "heads_url": env.str("HEADS_URL", str(at / "heads")),
            "log_level": env.str("LOG_LEVEL", LOG_LEVEL),
            "max_lag": env.int(
                "MAX_LAG",
                MAX_LAG,
                validate=validate.Range(min=1, error="is not a positive number of operations"),
            ),
            "crash_at": env.str("CRASH_AT", None),
        }


def _verified(broker_url: str) -> str:
    """Over TLS the server must prove who it is, unless the address says otherwise: kombu would
    believe any server."""
    if not broker_url.startswith("rediss:") or "ssl_cert_reqs=" in broker_url:
        return broker_url
    return f"{broker_url}{'&' if '?' in broker_url else '?'}ssl_cert_reqs=required"


def _rate_limits(text: str) -> dict[str, int]:
    """`key:600,address:60` over those that hold otherwise; raises ValueError."""
    limits = dict(RATE_LIMITS)
    for word in filter(None, text.split(",")):
        name, _, most = word.partition(":")
        if name not in limits or not most.isascii() or not most.isdecimal() or int(most) < 1:
            raise ValueError(
                f"{word} is no limit; write key:600,address:60 with some of {', '.join(limits)}"
            )
        limits[name] = int(most)
    return limits


def _networks(text: str) -> tuple[Network, ...]:
    """`10.0.0.0/8,192.168.1.7`; raises ValueError."""
    return tuple(ip_network(word.strip()) for word in filter(None, text.split(",")))


def tls(environ: Mapping[str, str]) -> Tls | None:
    """The certificate and key that the environment names; raises ValueError."""
    certificate, key = environ.get(TLS_CERTIFICATE, ""), environ.get(TLS_KEY, "")
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise ValueError(f"{TLS_CERTIFICATE} and {TLS_KEY} go together; one is missing")
    named = Tls(Path(certificate).expanduser().resolve(), Path(key).expanduser().resolve())
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            *named,
            password="",  # a key under a password is refused, and nobody is asked for one
        )
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"{certificate} and {key} are no certificate and its key: {error}"
        ) from None
    return named


def _faults_of(error: EnvValidationError) -> dict[str, str]:
    faults = dict(error.error_messages)  # type: ignore[arg-type] # after seal() it is a mapping
    return {name: " ".join(map(str, why)) for name, why in faults.items()}


def _message(faults: dict[str, str]) -> str:
    lines = [f"  {name}: {why}" for name, why in sorted(faults.items())]
    return (
        "These environment variables are missing or wrong:\n"
        + "\n".join(lines)
        + "\nStart the embedded stack with `make run`, or set them as README.md shows."
    )
