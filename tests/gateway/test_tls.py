"""TLS: what the API serves with, and that its own connections know whom they talk to."""

import re
import shlex
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg2
import pytest
import redis
import requests
from kombu import Connection
from kombu.exceptions import OperationalError
from requests.adapters import HTTPAdapter
from sqlalchemy import text
from sqlalchemy.exc import OperationalError as DatabaseGone

from api.gateway.rates import AwayError, Bound, Rates
from cli.run import curl
from cli.stack.apps import _says_ok, path
from cli.stack.ports import ANY, Port
from cli.stack.root import ROOT
from models import db
from models.settings import SettingsError, bells, settings
from tasks import ring
from tests.gateway.authority import A_DAY, Authority, Pair
from tests.gateway.terminator import Terminator, terminated

HERE = "127.0.0.1"
# Two seconds on a machine of its own; the rest is for one that is busy with other tests.
UP_WITHIN_S = 60.0
LOOK_EVERY_S = 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the certificates lie."""
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    """Whom we trust."""
    return Authority(folder)


@pytest.fixture(scope="module")
def right(authority: Authority) -> Pair:
    """Of the host that is connected to."""
    return authority.sign(HERE)


@pytest.fixture(scope="module")
def wrong(authority: Authority) -> Pair:
    """Of another host, by the same authority."""
    return authority.sign("other.example")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Somebody whom we do not trust, by the same name."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@contextmanager
def serving(pair: Pair, env: dict[str, str], log: Path) -> Iterator[str]:
    """The API as the Procfile starts it, with this certificate; yields its address."""
    (command,) = re.findall(r"^web: (.*)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    with closing(Port(ANY)) as port, log.open("wb") as output:
        told = {
            "TRIDENT_PORT": str(port.number),
            "TRIDENT_TLS_CERTIFICATE": str(pair.certificate),
            "TRIDENT_TLS_KEY": str(pair.key),
            "PATH": path(),
        }
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            cwd=ROOT,
            env={**env, **told},
            stdout=output,
            stderr=output,
        )
        try:
            url = f"https://{HERE}:{port.number}"
            _wait_until(_says_ok(f"{url}/readyz", str(pair.certificate)), log)
            yield url
        finally:
            process.terminate()
            process.wait(UP_WITHIN_S)


def test_the_api_serves_tls_1_3_alone(
    environment: dict[str, str], authority: Authority, right: Pair, tmp_path: Path
) -> None:
    """With a certificate that clients verify; nothing older, nothing in clear."""
    with serving(right, environment, tmp_path / "web.log") as url:
        answer = requests.get(f"{url}/docs", verify=str(authority.certificate), timeout=10)
        assert answer.status_code == 200
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{url}/docs", timeout=10)
        with requests.Session() as old:
            old.mount("https://", _OldTls(str(authority.certificate)))
            with pytest.raises(requests.exceptions.SSLError, match=r"(?i)protocol"):
                old.get(f"{url}/docs", timeout=10)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(url.replace("https", "http") + "/docs", timeout=10)
        assert asked_with_curl(url, right) == "200"


def test_the_start_waits_for_this_certificate(
    environment: dict[str, str], right: Pair, wrong: Pair, tmp_path: Path
) -> None:
    """It takes the server with just this certificate, whatever name it is for, and no other."""
    with serving(wrong, environment, tmp_path / "web.log") as url:
        assert not _says_ok(f"{url}/readyz", str(right.certificate))()
        assert asked_with_curl(url, wrong) == "200"


def asked_with_curl(url: str, pair: Pair) -> str:
    """The status that the request which `make run` prints gets."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    told = {
        "TRIDENT_URL": url,
        "TRIDENT_PORT": str(urlsplit(url).port),
        "TRIDENT_TLS_CERTIFICATE": str(pair.certificate),
    }
    words = [*shlex.split(f"{curl(told)}/readyz"), "-o", "/dev/null", "-w", "%{http_code}"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(
    ("certificate", "key"),
    [("right", None), (None, "right"), ("right", "wrong"), ("nowhere", "right")],
)
def test_a_wrong_pair_is_named(
    env: dict[str, str],
    right: Pair,
    wrong: Pair,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str | None,
    key: str | None,
) -> None:
    """At the start: one without the other, another one's key, no file."""
    files = {
        "right": right,
        "wrong": wrong,
        "nowhere": Pair(Path("/nowhere.pem"), Path("/nowhere.key")),
    }
    if certificate is not None:
        monkeypatch.setenv("TRIDENT_TLS_CERTIFICATE", str(files[certificate].certificate))
    if key is not None:
        monkeypatch.setenv("TRIDENT_TLS_KEY", str(files[key].key))
    settings.cache_clear()
    with pytest.raises(SettingsError, match="TRIDENT_TLS_CERTIFICATE"):
        settings()


@contextmanager
def postgres(environment: dict[str, str], pair: Pair) -> Iterator[tuple[Terminator, str]]:
    """Postgres behind TLS, and its address without what verifies it."""
    url = environment["TRIDENT_DATABASE_URL"]
    parts = urlsplit(url)
    upstream = (parts.hostname or "", parts.port or 0)
    with terminated(pair, upstream, postgres=True) as tls:
        yield tls, url.replace(f":{parts.port}/", f":{tls.port}/")


def ask(url: str) -> None:
    """Whether our own engine gets through."""
    engine = db.make_engine(url, statement_timeout_ms=3_000)
    try:
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
    finally:
        engine.dispose()


def test_the_database_is_who_it_should_be(
    environment: dict[str, str], authority: Authority, right: Pair, wrong: Pair, stranger: Authority
) -> None:
    """sslmode=verify-full: its certificate is of the authority, for the host's name, and valid."""
    verified = f"?sslmode=verify-full&sslrootcert={quote(str(authority.certificate))}"
    with postgres(environment, right) as (tls, url):
        ask(url + verified)
        assert tls.deciphered == 1
    with postgres(environment, wrong) as (tls, url):
        with pytest.raises(DatabaseGone, match="does not match host name"):
            ask(url + verified)
        assert tls.deciphered <= 1
    with (
        postgres(environment, stranger.sign(HERE)) as (tls, url),
        pytest.raises(DatabaseGone, match="certificate verify failed"),
    ):
        ask(url + verified)
    with (
        postgres(environment, authority.sign(HERE, until=-A_DAY)) as (tls, url),
        pytest.raises(DatabaseGone, match="certificate verify failed"),
    ):
        ask(url + verified)
    with (  # a server in clear is none, though it is the right one
        pytest.raises((DatabaseGone, psycopg2.OperationalError), match="does not support SSL")
    ):
        ask(environment["TRIDENT_DATABASE_URL"] + verified)


def by_kombu(url: str) -> None:
    """As Celery connects."""
    with Connection(url, connect_timeout=3) as connection:
        connection.ensure_connection(max_retries=1, timeout=3)
        connection.default_channel.client.ping()


def by_celery(url: str) -> None:
    """As the address of the environment is read for Celery, without a word about verification."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIDENT_BROKER_URL", url.removesuffix("&ssl_cert_reqs=required"))
        by_kombu(bells().broker_url)


def by_ringer(url: str) -> None:
    """As the ringer connects."""
    with closing(ring.client_of(url)) as client:
        client.ping()


def by_rates(url: str) -> None:
    """As requests are counted."""
    rates = Rates(url)
    try:
        rates.take_strictly(Bound("login", f"tls-{time.time_ns()}", 5))
    finally:
        rates.stop()


@pytest.mark.parametrize("connect", [by_celery, by_kombu, by_ringer, by_rates])
def test_the_broker_is_who_it_should_be(
    env: dict[str, str],
    authority: Authority,
    right: Pair,
    wrong: Pair,
    stranger: Authority,
    connect: Callable[[str], None],
) -> None:
    """rediss:// with ssl_ca_certs: as of the database, by each of those who talk to it."""
    parts = urlsplit(env["TRIDENT_BROKER_URL"])
    upstream = (parts.hostname or "", parts.port or 0)
    verified = f"?ssl_ca_certs={quote(str(authority.certificate), safe='/')}"
    verified += "&ssl_cert_reqs=required"

    def url(tls: Terminator) -> str:
        return f"rediss://:{parts.password}@{HERE}:{tls.port}/0{verified}"

    with terminated(right, upstream) as tls:
        connect(url(tls))
        assert tls.deciphered >= 1
    gone = (redis.RedisError, OperationalError, AwayError, ssl.SSLError)
    for pair in (wrong, stranger.sign(HERE), authority.sign(HERE, until=-A_DAY)):
        with terminated(pair, upstream) as tls:
            with pytest.raises(gone):
                connect(url(tls))
            assert tls.deciphered <= 1


class _OldTls(HTTPAdapter):
    """A client that speaks nothing newer than TLS 1.2."""

    def __init__(self, authority: str) -> None:
        self._context = ssl.create_default_context(cafile=authority)
        self._context.maximum_version = ssl.TLSVersion.TLSv1_2
        super().__init__()

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)  # type: ignore[arg-type]


def _wait_until(ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + UP_WITHIN_S
    while not ready():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(LOOK_EVERY_S)
