"""Handing mail over: with TLS that is verified, or not at all."""

import datetime as dt
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from cli.stack.ports import HOST
from models.mail import WAYS, MailSettings, SmtpServer
from pipeline.identity.mail_text import BadAddressError, compose
from tasks import smtp
from tasks.smtp import AwayError, LaterError, Postman, RefusedError
from tests.gateway.authority import Authority
from tests.identity.post_office import PostOffice, serving, ticket_in
from tests.identity.rude_office import Dropping, Silent

ADA = "ada@example.com"
HUNG = r"^(TimeoutError|SMTPServerDisconnected)$"
SENDER = Address(addr_spec="no-reply@example.com")


def settings(office: PostOffice, way: str = "smtp", link: str | None = None) -> MailSettings:
    """How its mail comes to it."""
    word = "secret" if way != "smtp" else None
    return MailSettings(
        SmtpServer(HOST, office.port, WAYS[way], word and "trident", word), SENDER, link
    )


def letter(how: MailSettings, email: str = ADA) -> EmailMessage:
    """A mail."""
    until = dt.datetime(2026, 11, 30, 10, tzinfo=dt.UTC)
    return compose(how, "ma_1", "invitation", "1.abc", email, "acme", until)


def send(how: MailSettings, email: str = ADA) -> None:
    """Hand one over."""
    with Postman() as postman:
        postman.send(how, letter(how, email))


def let_in(_server: object, _session: object, _envelope: object, _how: str, data: object) -> object:
    """Whoever knows the password."""
    right = data == LoginPassword(b"trident", b"secret")
    return AuthResult(success=right, handled=False)


# With TLS from the start aiosmtpd takes it that there is none.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize("way", ["smtps", "smtp+starttls"])
def test_a_server_is_who_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """One whose certificate is not vouched for learns no password and gets no mail."""
    ours = Authority(tmp_path)
    speaks = serving(*ours.sign(HOST))
    more = {"ssl_context": speaks} if way == "smtps" else {"tls_context": speaks}
    of_tls = {} if way == "smtps" else {"require_starttls": True}
    seen: list[object] = []

    def watched(*about: object) -> object:
        seen.append(about)
        return let_in(*about)  # type: ignore[arg-type] # as aiosmtpd calls it

    office = PostOffice(
        authenticator=watched, auth_required=True, auth_require_tls=way != "smtps", **more, **of_tls
    )
    how = settings(office, way)
    with office.open():
        with pytest.raises(AwayError, match="SSLCertVerificationError"):
            send(how)
        assert (seen, office.came) == ([], [])
        monkeypatch.setenv("SSL_CERT_FILE", str(ours.certificate))
        send(how)
        assert len(office.to(ADA)) == 1
        wrong = SmtpServer(HOST, office.port, WAYS[way], "trident", "wrong")
        with pytest.raises(AwayError, match="535"):
            send(MailSettings(wrong, SENDER))
    with pytest.raises(AwayError, match="ConnectionRefusedError"):
        send(how)


def test_nobody_talks_us_out_of_tls() -> None:
    """A server, or somebody before it, that knows no STARTTLS gets nothing, though it asks for no
    password either."""
    office = PostOffice()
    with office.open():
        for way, why in (("smtp+starttls", "SMTPNotSupportedError"), ("smtps", None)):
            server = SmtpServer(HOST, office.port, WAYS[way])
            with pytest.raises(AwayError, match=why):
                send(MailSettings(server, SENDER))
    assert office.came == []


def test_what_a_server_says_of_a_mail() -> None:
    """5xx is for good, 4xx for now; the next mail goes all the same, on another connection if it
    must."""
    office = PostOffice()
    how = settings(office)
    office.refuses = {
        "no@example.com": "550 who?",
        "later@example.com": "450 busy",
        "out@example.com": "421 closing",
    }
    with office.open(), Postman() as postman:
        for address, error, why in (
            ("no@example.com", RefusedError, "recipient, 550"),
            ("later@example.com", LaterError, "recipient, 450"),
            ("out@example.com", LaterError, "recipient, 421"),
        ):
            with pytest.raises(error, match=f"^{why}$"):
                postman.send(how, letter(how, address))
        postman.send(how, letter(how))
    assert [address for address, _ in office.came] == [ADA]


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example.com\nBcc: eve@example.com",
        "ada@example.com, eve@example.com",
        "ada@example.com> <eve@example.com",
        "ada@example.com\0",
        "ada@",
        "ädä@example.com",
        "@",
        "",
        '"ada\r\n"@example.com',
        '"\x0b"@example.com',
        "root@localhost",
        "root@[169.254.169.254]",
        "root@127.0.0.10",
        "ada@faß.example",  # DNS is asked for fass.example
        "ada@exa\u200dmple.com",
    ],
)
def test_no_address_writes_a_header(email: str) -> None:
    """What is none is refused, whoever stored it."""
    with pytest.raises(BadAddressError):
        letter(settings(PostOffice()), email)


def test_a_host_is_written_as_dns_has_it() -> None:
    """Whatever letters its name has."""
    sent = letter(settings(PostOffice()), "ada@exämple.com")
    assert sent["To"] == "ada@xn--exmple-cua.com"


def test_what_a_mail_says() -> None:
    """A link where there is a page, or else the request; and nothing that people wrote."""
    office = PostOffice()
    page = "https://example.com/welcome?lang=en"
    with office.open():
        for link in (page, None):
            send(settings(office, link=link))
    with_link, without = office.to(ADA)
    for message in (with_link, without):
        assert ticket_in(message) == "1.abc"
        assert message["From"] == "no-reply@example.com"
        assert message["To"] == ADA
        assert message["Message-ID"] == "<ma_1@example.com>"
        assert message["Auto-Submitted"] == "auto-generated"
        assert "acme" in message.get_content()
        assert "2026-11-30 10:00 UTC" in message.get_content()
    lines = with_link.get_content().splitlines()
    assert f"{page}&purpose=invitation&ticket=1.abc" in lines
    assert "POST /v1/invitations/accept" in without.get_content()


@pytest.mark.parametrize("way", ["smtp", "smtps"])
def test_a_server_that_says_nothing_is_away(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that each word may take."""
    monkeypatch.setattr(smtp, "TIMEOUT_S", 0.2)
    with (
        Silent() as silent,
        pytest.raises(AwayError, match=HUNG),
    ):
        send(MailSettings(SmtpServer(HOST, silent.port, WAYS[way]), SENDER))


def test_a_server_that_hangs_up_is_away() -> None:
    """Also after it had all of the mail: nobody knows what became of it, so it is sent again."""
    with Dropping() as dropping:
        how = MailSettings(SmtpServer(HOST, dropping.port, WAYS["smtp"]), SENDER)
        for came in (1, 2):
            with pytest.raises(AwayError, match="SMTPServerDisconnected"):
                send(how)
            assert dropping.came == came
