"""What the kinds share that change the status of an account."""

from collections.abc import Callable

from pipeline.kinds import fields
from pipeline.kinds.kind import Body, Kind
from pipeline.ledger import Account, Books, Effect, Entry
from pipeline.refusal import Refusal, refuse


class Schema(fields.OperationSchema):
    """Which account."""

    account = fields.account_code()


def named_account(body: Body) -> tuple[str, ...]:
    """The one account that the operation is about."""
    return (body["account"],)


def find_open(books: Books, code: str) -> Account | Refusal:
    """The account, unless it is unknown or closed."""
    account = books.accounts.get(code)
    if account is None:
        return refuse("unknown_account", account=code)
    if account.status == "closed":
        return refuse("account_closed", account=code)
    return account


def status_kind(
    name: str, status: str, guard: Callable[[Account], Refusal | None], example: str
) -> Kind:
    """A kind that gives an account `status`, unless the guard refuses; `example` is a code."""

    def apply(books: Books, entry: Entry) -> Effect:
        account = find_open(books, entry.body["account"])
        if isinstance(account, Refusal):
            return account
        refusal = guard(account)
        if refusal is not None:
            return refusal
        account.status = status
        books.alter(account)
        return []

    return Kind(
        name=name,
        posts=False,
        schema=Schema(),
        example={"kind": name, "account": example},
        accounts=named_account,
        apply=apply,
    )
