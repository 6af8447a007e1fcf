"""The API with real servers behind it, as its own tests have it."""

from tests.api.conftest import (  # noqa: F401 - fixtures are found by their names
    _bellman,
    api,
    app,
    bellman,
    environment,
    ledger,
)
