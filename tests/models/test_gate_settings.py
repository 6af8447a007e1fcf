"""What the environment says of rates and proxies."""

import pytest

from models.settings import SettingsError, settings


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TRIDENT_RATE_LIMITS", "key"),
        ("TRIDENT_RATE_LIMITS", "key:0"),
        ("TRIDENT_RATE_LIMITS", "key:-1"),
        ("TRIDENT_RATE_LIMITS", "everybody:5"),
        ("TRIDENT_TRUSTED_PROXIES", "my-proxy"),
        ("TRIDENT_TRUSTED_PROXIES", "10.0.0.1/8"),
    ],
)
def test_wrong_settings_are_named(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """At the start, with what is wrong about them."""
    monkeypatch.setenv(name, text)
    settings.cache_clear()
    with pytest.raises(SettingsError, match=name):
        settings()


def test_settings_of_the_gate(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not named stays as it is."""
    monkeypatch.setenv("TRIDENT_RATE_LIMITS", "key:600,login:5")
    monkeypatch.setenv("TRIDENT_TRUSTED_PROXIES", "10.0.0.0/8, fd00::1")
    settings.cache_clear()
    limits = settings().rate_limits
    assert (limits["key"], limits["login"], limits["tenant"]) == (600, 5, 600_000)
    assert list(map(str, settings().trusted_proxies)) == ["10.0.0.0/8", "fd00::1/128"]
