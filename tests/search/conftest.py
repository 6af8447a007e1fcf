"""A ledger whose log holds something of everything, and what a search of it should find."""

from collections.abc import Iterator

import pytest

from pipeline.search.index import index_next
from tests.bank import Bank, new_ledger
from tests.conftest import environment_of
from tests.search.books import Record, fill, read


@pytest.fixture(scope="package")
def environment(servers: dict[str, str]) -> Iterator[dict[str, str]]:
    """The servers' environment, for as long as this package's tests run."""
    with environment_of(servers):
        yield servers


@pytest.fixture(scope="package")
def filled(environment: dict[str, str]) -> Bank:
    """Two whole segments and a rest, not indexed yet; its last operations wait before stages."""
    bank = Bank(new_ledger())
    fill(bank)
    return bank


@pytest.fixture(scope="package")
def indexed(filled: Bank) -> Bank:
    """The same, indexed as far as it goes."""
    while (done := index_next(filled.ledger)) is not None and done.more:
        pass
    return filled


@pytest.fixture(scope="package")
def records(filled: Bank) -> list[Record]:
    """Every operation of it, read without any search."""
    return read(filled)


@pytest.fixture
def bank(environment: dict[str, str]) -> Bank:
    """An empty ledger."""
    return Bank(new_ledger())
