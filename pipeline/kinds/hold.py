"""hold: reserve an amount for somebody, to be captured or released by a later operation.

Nothing is posted. The amount leaves what is available of the source at once, and comes to the
destination only with a capture. What is not captured is given back by a release, or when the hold
expires.
"""

from pipeline.decide import begin
from pipeline.enter import enter
from pipeline.kinds import fields, transfer
from pipeline.kinds.kind import SUBMITTERS, Kind
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import Refusal, refuse
from pipeline.times import parse_time


class Schema(transfer.MoveSchema):
    """The shape of a hold: a transfer's, and a time at which it ends by itself."""

    expires_at = fields.time()


def apply(books: Books, entry: Entry) -> Effect:
    """The postings that reserve, or why not. Time passes while a hold waits for approvals."""
    expires_at = entry.body.get("expires_at")
    due = None if expires_at is None else parse_time(expires_at)
    if due is not None and due <= entry.accepted_at:
        return refuse("expiry_out_of_range", expires_at=expires_at)
    effect = enter(
        books,
        entry.position,
        (),
        reserve=transfer.legs(entry.body),
        require=transfer.requirements(entry.body),
    )
    if not isinstance(effect, Refusal):
        begin(books, entry, "hold", entry.body["amount"], due)
    return effect


KIND = Kind(
    name="hold",
    roles=SUBMITTERS,
    posts=True,
    schema=Schema(),
    example={
        "kind": "hold",
        "source": "customers:42",
        "destination": "merchants:7",
        "amount": 90000,
        "currency": "USD",
        "expires_at": "2027-03-01T12:00:00Z",
        "description": "Hotel, three nights",
    },
    check=transfer.check,
    currencies=transfer.currencies,
    amounts=transfer.amounts,
    accounts=transfer.accounts,
    apply=apply,
    alone=True,
)
