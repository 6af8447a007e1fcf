"""update_account: another overdraft, name, metadata or personal data. The rest stays as it was."""

from typing import Any

from marshmallow import ValidationError, validates_schema

from pipeline.kinds import fields
from pipeline.kinds.kind import Kind
from pipeline.kinds.open_account import NAME_MAX_LENGTH, stored_overdraft
from pipeline.kinds.status import find_open, named_account
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import Refusal, refuse


class Schema(fields.OperationSchema):
    """At least one of overdraft, name, metadata and personal."""

    account = fields.account_code()
    overdraft = fields.overdraft()
    name = fields.text(NAME_MAX_LENGTH)

    @validates_schema
    def changes_something(self, data: dict[str, Any], **_: Any) -> None:
        """A change that changes nothing is a mistake of the caller's."""
        if not data.keys() & {"overdraft", "name", "metadata", "personal"}:
            raise ValidationError(
                "Name what changes: overdraft, name, metadata or personal.", "account"
            )


def apply(books: Books, entry: Entry) -> Effect:
    """The changed account, or why not."""
    body = entry.body
    account = find_open(books, body["account"])
    if isinstance(account, Refusal):
        return account
    if "overdraft" in body:
        before = account.overdraft
        account.overdraft = stored_overdraft(body["overdraft"])
        if account.available is not None and account.available < 0:
            account.overdraft = before
            return refuse("overdraft_in_use", account=account.code, balance=account.balance)
    account.name = body.get("name", account.name)
    account.metadata = body.get("metadata", account.metadata)
    books.alter(account)
    return []


KIND = Kind(
    name="update_account",
    posts=False,
    schema=Schema(),
    example={"kind": "update_account", "account": "customers:42", "overdraft": 50000},
    accounts=named_account,
    apply=apply,
)
