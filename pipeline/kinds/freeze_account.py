"""freeze_account: the account takes no postings, or none on one side, until it is unfrozen.

Freezing what is frozen in another mode changes the mode.
"""

from pipeline.kinds import fields
from pipeline.kinds.kind import Kind
from pipeline.kinds.status import Schema as StatusSchema
from pipeline.kinds.status import find_open, named_account
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import Refusal, refuse

# What is kept out, and the status that keeps it out.
MODES = {"both": "frozen", "debits": "frozen_debits", "credits": "frozen_credits"}


class Schema(StatusSchema):
    """Which account, and which of its sides: both, unless it says otherwise."""

    mode = fields.one_of(tuple(MODES), required=False)


def apply(books: Books, entry: Entry) -> Effect:
    """The frozen account, or why not."""
    account = find_open(books, entry.body["account"])
    if isinstance(account, Refusal):
        return account
    status = MODES[entry.body.get("mode", "both")]
    if account.status == status:
        return refuse("account_frozen", account=account.code)
    account.status = status
    books.alter(account)
    return []


KIND = Kind(
    name="freeze_account",
    posts=False,
    schema=Schema(),
    example={"kind": "freeze_account", "account": "customers:42", "mode": "debits"},
    accounts=named_account,
    apply=apply,
)
