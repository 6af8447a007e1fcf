"""The app processes: those of the Procfile, with the environment that they need."""

import os
import ssl
import sys
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.error import URLError

from honcho.environ import parse_procfile

from cli.stack.child import Spec
from cli.stack.home import Home
from cli.stack.root import ROOT
from cli.stack.supervisor import Supervisor
from models import keks
from models.mail import SMTP_URL
from models.settings import TLS_CERTIFICATE

# Celery lets a running bell end: at most its time limit of 30 s (celeryconfig.py), and then some.
GRACE_S = 35.0
# Flower often waits for ever for a worker that has gone, and has nothing that a kill could lose.
FLOWER_GRACE_S = 2.0
# Secrets, and who needs them. What a process does not need it is not told, so that a fault in it
# cannot give it away: Flower and beat have no way to the books, and nobody is the owner. A worker
# opens keys to send mail, and for nothing else.
APP, SWEEPER = "TRIDENT_DATABASE_URL", "TRIDENT_SWEEPER_DATABASE_URL"
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
FLOWER = ("FLOWER_BASIC_AUTH", "FLOWER_COOKIE_SECRET")
FOR_NOBODY = ("TRIDENT_OWNER_DATABASE_URL", "TRIDENT_TOKEN", "TRIDENT_FLOWER_URL")
NEEDS = {
    "web": {APP, SMTP_URL, *keks.SOURCES, *AWS},
    "worker": {APP, SWEEPER, SMTP_URL, *AWS},
    "beat": set[str](),
    "flower": {*FLOWER},
}
FOR_MAIL = set(keks.SOURCES)
SECRETS = {*FOR_NOBODY, *FLOWER}.union(*NEEDS.values())
STOP_RANK = 0
UP_WITHIN_S = 60.0
# The server's own patience with its database is shorter (POOL_WAIT_S in models/db.py).
ANSWER_S = 5.0


def start(supervisor: Supervisor, home: Home, env: Mapping[str, str]) -> None:
    """Start the processes of the Procfile and wait until API and Flower answer."""
    everything = {**os.environ, **env, "PATH": path()}
    for name, command in _procfile().items():
        supervisor.start(_spec(home, name, command, told(name, everything)))
    supervisor.wait_until(
        "web", _says_ok(f"{env['TRIDENT_URL']}/readyz", env.get(TLS_CERTIFICATE)), UP_WITHIN_S
    )
    flower = f"http://127.0.0.1:{env['TRIDENT_FLOWER_PORT']}/healthcheck"
    supervisor.wait_until("flower", _says_ok(flower), UP_WITHIN_S)


def names() -> list[str]:
    """What the Procfile starts."""
    return list(_procfile())


def told(name: str, everything: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process. What it does not need is empty in it, and not left out:
    models/settings.py would look that up among what the running stack has written down."""
    needs = NEEDS[name] | (FOR_MAIL if name == "worker" and everything.get(SMTP_URL) else set())
    withheld = (SECRETS - needs) & everything.keys()
    return {**everything, **dict.fromkeys(withheld, "")}


def _procfile() -> dict[str, str]:
    return dict(parse_procfile((ROOT / "Procfile").read_text()).processes)


def _spec(home: Home, name: str, command: str, env: Mapping[str, str]) -> Spec:
    return Spec(
        name=name,
        # The shell fills in the variables, and `exec` puts the program in its place: signals
        # reach it, and its pid is the one that we know.
        command=["/bin/sh", "-c", f"exec {command}"],
        env=env,
        cwd=ROOT,
        log=home.log(name),
        rank=STOP_RANK,
        grace_s=FLOWER_GRACE_S if name == "flower" else GRACE_S,
    )


def path() -> str:
    """PATH with the programs of our own environment first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _says_ok(url: str, certificate: str | None = None) -> Callable[[], bool]:
    """Whether it answers 200; with a certificate, whether it is who has just this one."""
    # Straight to the loopback address, whatever proxy the environment names. The certificate is
    # for the name that clients know, so it is itself what is compared, and not the name.
    context = ssl.create_default_context(cafile=certificate)
    if certificate is not None:
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )

    def ask() -> bool:
        try:
            with opener.open(url, timeout=ANSWER_S) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except (URLError, OSError):
            return False

    return ask
