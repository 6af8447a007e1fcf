"""A tenant's settings as documents: which are some, and what is in force of two."""

import pytest
from marshmallow import ValidationError

from models.tenant_settings import TenantSettingsSchema, beyond, changed, in_force


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://",
        "ftp://a.example",
        "https://a.example/",
        "https://a.example/path",
        "https://a.example?x",
        "https://me@a.example",
        "https://*.example",
        "https://a.example:99999",
        "https://[::1",
        "https://A.example",
        "https://a.example:443",
        "http://a.example:80",
        "http://a.example:0080",
    ],
)
def test_what_is_no_origin(origin: str) -> None:
    """Scheme, host and perhaps a port; nothing before or behind, and no pattern."""
    with pytest.raises(ValidationError):
        TenantSettingsSchema().load({"cors_origins": [origin]})


@pytest.mark.parametrize(
    "origin",
    ["https://a.example", "http://localhost:3000", "https://[::1]:8", "https://a.example:80"],
)
def test_what_is_an_origin(origin: str) -> None:
    """As browsers send it."""
    assert TenantSettingsSchema().load({"cors_origins": [origin]}) == {"cors_origins": [origin]}


def test_documents_are_pure() -> None:
    """They are put together from what was stored, never changed in place."""
    own, allowed = {"currencies": ["EUR"]}, {"currencies": ["USD"]}
    assert in_force(own, allowed).currencies == frozenset()
    assert list(beyond(own, allowed)) == ["currencies"]
    assert changed(own, {"currencies": None}) == {}
    assert (own, allowed) == ({"currencies": ["EUR"]}, {"currencies": ["USD"]})
