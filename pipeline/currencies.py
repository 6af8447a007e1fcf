"""Which currencies an operation names, with those of all that it holds."""

from collections.abc import Iterator

from pipeline.kinds import kind_of
from pipeline.kinds.kind import Body


def currencies_of(name: str, body: Body) -> Iterator[str]:
    """The currencies that an operation of this kind names."""
    kind = kind_of(name)
    yield from kind.currencies(body)
    for inner_name, inner_body in kind.inner(body):
        yield from currencies_of(inner_name, inner_body)
