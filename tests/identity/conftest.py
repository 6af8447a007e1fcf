"""The API with real servers behind it, as its own tests have it."""

import pytest

from models.tenant import owner_writing
from pipeline import tenants
from tests.api.conftest import (  # noqa: F401 - fixtures are found by their names
    _bellman,
    api,
    app,
    asleep,
    bellman,
    environment,
    ledger,
    stranger,
)


@pytest.fixture(scope="package")
def other_tenant(environment: dict[str, str]) -> int:  # noqa: F811 - what it asks for
    """The number of a second tenant."""
    with owner_writing() as connection:
        return tenants.create(connection, "strangers", "cli:test")[0].tenant_id
