"""reopen_account: a closed account takes postings again, as it was when it was closed."""

from pipeline.kinds.kind import Kind
from pipeline.kinds.status import Schema, named_account
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import refuse


def apply(books: Books, entry: Entry) -> Effect:
    """The open account, or why not."""
    code = entry.body["account"]
    account = books.accounts.get(code)
    if account is None:
        return refuse("unknown_account", account=code)
    if account.status != "closed":
        return refuse("account_not_closed", account=code)
    account.status = "open"
    books.alter(account)
    return []


KIND = Kind(
    name="reopen_account",
    posts=False,
    schema=Schema(),
    example={"kind": "reopen_account", "account": "customers:43"},
    accounts=named_account,
    apply=apply,
)
