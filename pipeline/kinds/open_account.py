"""open_account: a new account with a code of its own. It has no postings: its balance is zero."""

from pipeline.kinds import fields
from pipeline.kinds.kind import Body, Kind
from pipeline.ledger import TYPES, Books, Effect, Entry
from pipeline.refusal import refuse

NAME_MAX_LENGTH = 200


class Schema(fields.OperationSchema):
    """`overdraft` is 0 unless it is given."""

    code = fields.account_code()
    type = fields.one_of(TYPES)
    currency = fields.currency()
    overdraft = fields.overdraft(load_default=0)
    name = fields.text(NAME_MAX_LENGTH)


def currencies(body: Body) -> tuple[str, ...]:
    """The currency that the account keeps."""
    return (body["currency"],)


def accounts(body: Body) -> tuple[str, ...]:
    """The code that it takes."""
    return (body["code"],)


def stored_overdraft(overdraft: int | str) -> int | None:
    """Minor units, or None for "unlimited"."""
    return None if overdraft == "unlimited" else int(overdraft)


def apply(books: Books, entry: Entry) -> Effect:
    """A new account, or why not."""
    body = entry.body
    if body["code"] in books.accounts:
        return refuse("account_exists", account=body["code"])
    books.open(
        code=body["code"],
        type=body["type"],
        currency=body["currency"],
        overdraft=stored_overdraft(body["overdraft"]),
        name=body.get("name"),
        metadata=body.get("metadata"),
    )
    return []


KIND = Kind(
    name="open_account",
    posts=False,
    schema=Schema(),
    example={
        "kind": "open_account",
        "code": "customers:42",
        "type": "liability",
        "currency": "USD",
        "overdraft": 0,
        "name": "Ada Lovelace",
    },
    accounts=accounts,
    currencies=currencies,
    apply=apply,
    opens=True,
)
