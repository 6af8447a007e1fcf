"""What the reconciling commands share: the account, postings by name, and refusals as sentences."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from cli.asking import Unfulfillable, the_ledger
from models.db import tenant_reading
from models.operation import address_of, parse_id
from pipeline import accounts
from pipeline.reconcile import unmatched
from pipeline.reconcile.errors import CODES, ReconcileError
from pipeline.reconcile.items import Place
from pipeline.reconcile.subject import Subject, subject_of


def the_subject(tenant: str, ledger: str, code: str) -> Subject:
    """The account that is reconciled; raises Unfulfillable."""
    books = the_ledger(tenant, ledger)
    with tenant_reading(books.tenant_id) as connection:
        found = list(accounts.accounts(connection, books, code=code))
    if not found:
        raise Unfulfillable(
            f"Ledger {books.name} has no account {code!r}. `trident balances` lists those it has."
        )
    return subject_of(books, found[0])


@contextmanager
def explained() -> Iterator[None]:
    """What a reconciliation refuses ends the command with its title and what to do."""
    try:
        yield
    except ReconcileError as error:
        raise Unfulfillable(f"{CODES[error.code]}\n{error}") from None


def the_places(connection: Connection, subject: Subject, named: Sequence[str]) -> list[Place]:
    """Where the postings stand that are named `op_...` or `op_...:LEG`; raises Unfulfillable."""
    found = []
    for name in named:
        operation, _, leg = name.partition(":")
        id_ = parse_id(operation)
        address = None if id_ is None else address_of(id_)
        legs = []
        if address is not None and address.ledger_id == subject.ledger.ledger_id:
            rows = unmatched.legs(connection, subject, address.position)
            legs = [own for own, its_id in rows if its_id == id_ and leg in ("", str(own))]
        if address is None or len(legs) != 1:
            raise Unfulfillable(
                f"{name} names {len(legs)} postings of {subject.code}; it is to name one, as"
                " op_... or op_...:LEG."
            )
        found.append(Place(address.position, legs[0]))
    return found
