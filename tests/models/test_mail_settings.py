"""What the environment says of mail."""

import pytest

from models.mail import A_DAY, LINK_URL, MAIL_FROM, MAILS_A_DAY, SMTP_URL, MailSettings
from models.settings import SettingsError, settings

FROM = "no-reply@example.com"


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> MailSettings | None:
    """The settings, with these variables and no others of mail."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    return settings().mail


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (SMTP_URL, "mail.example.com"),
        (SMTP_URL, "http://mail.example.com"),
        (SMTP_URL, "smtps://"),
        (SMTP_URL, "smtps://mail.example.com:port"),
        (SMTP_URL, "smtps://mail.example.com:99999"),
        (SMTP_URL, "smtps://mail.example.com/path"),
        (SMTP_URL, "smtps://mail.example.com?verify=no"),
        (SMTP_URL, "smtps://user@mail.example.com"),
        (SMTP_URL, "smtp://mail.example.com"),
        (SMTP_URL, "smtp://10.0.0.1"),
        (SMTP_URL, "smtp://localhost.example.com"),
        (SMTP_URL, "smtps://ada:pass%0Dword@mail.example.com"),
        (SMTP_URL, "smtps://ada:p%C3%A4ss@mail.example.com"),
        (SMTP_URL, f"smtps://{'a' * 64}.example.com"),
        (SMTP_URL, ""),
        (MAIL_FROM, ""),
        (MAIL_FROM, "nobody"),
        (MAIL_FROM, "a@exämple.com"),
        (MAIL_FROM, "a@example.com, b@example.com"),
        (MAIL_FROM, "a@example.com\r\nBcc: b@example.com"),
        (LINK_URL, "example.com"),
        (LINK_URL, "http://example.com/welcome"),
        (LINK_URL, "javascript:alert(1)"),
        (LINK_URL, "https://ada:secret@example.com/"),
        (LINK_URL, "https://example.com/#welcome"),
        (LINK_URL, "https://example.com/\nwelcome"),
        (MAILS_A_DAY, "0"),
        (MAILS_A_DAY, "-1"),
        (MAILS_A_DAY, "many"),
    ],
)
def test_wrong_settings_are_named(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """At the start, with what is wrong about them."""
    right = {SMTP_URL: "smtps://mail.example.com", MAIL_FROM: FROM}
    with pytest.raises(SettingsError, match=name):
        given(monkeypatch, **{**right, name: text})


def test_all_faults_are_told_at_once(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And none of them tells a password."""
    wrong = {SMTP_URL: "smtp://ada:secret1@[::", MAIL_FROM: "x", LINK_URL: "y"}
    with pytest.raises(SettingsError) as error:
        given(monkeypatch, TRIDENT_RATE_LIMITS="key:0", **wrong)
    for name in (SMTP_URL, MAIL_FROM, LINK_URL, "TRIDENT_RATE_LIMITS"):
        assert f"  {name}: " in str(error.value)
    assert "secret1" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "port", "tls", "starttls"),
    [
        ("smtp://127.0.0.1", 25, False, False),
        ("smtp://localhost:1025", 1025, False, False),
        ("smtp://[::1]", 25, False, False),
        ("smtp+unencrypted://mail.example.com", 25, False, False),
        ("smtps://mail.example.com/", 465, True, False),
        ("smtp+starttls://mail.example.com", 587, False, True),
    ],
)
def test_ways_to_a_server(
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    port: int,
    tls: bool,
    starttls: bool,
) -> None:
    """Unencrypted to this machine alone, unless it is said."""
    mail = given(monkeypatch, **{SMTP_URL: url, MAIL_FROM: FROM})
    assert mail is not None
    assert mail.server.way == (port if ":1025" not in url else 25, tls, starttls)
    assert mail.server.port == port


def test_words_of_the_settings(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A password may have any characters and is not shown; a page may have a query of its own."""
    assert given(monkeypatch) is None
    url = "smtps://ada%40example.com:a%2Fsecret1@mail.example.com:4650"
    mail = given(
        monkeypatch,
        **{SMTP_URL: url, MAIL_FROM: f"Trident <{FROM}>", LINK_URL: "https://example.com/in?a=1"},
    )
    assert mail is not None
    assert (mail.server.user, mail.server.password) == ("ada@example.com", "a/secret1")
    assert (mail.server.port, mail.sender.addr_spec) == (4650, FROM)
    assert "secret1" not in repr(mail)
    assert mail.a_day == A_DAY
    assert mail.link_with(ticket="1.x&y") == "https://example.com/in?a=1&ticket=1.x%26y"
