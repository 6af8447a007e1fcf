"""close_account: an open account whose balance is zero takes no postings, unless it is reopened."""

from pipeline.kinds.status import status_kind
from pipeline.ledger import Account
from pipeline.refusal import Refusal, refuse


def guard(account: Account) -> Refusal | None:
    """Frozen first, then what it still holds."""
    if account.status != "open":
        return refuse("account_frozen", account=account.code)
    if account.balance or account.debits_pending or account.credits_pending:
        return refuse("account_not_empty", account=account.code, balance=account.balance)
    return None


KIND = status_kind("close_account", "closed", guard, "customers:43")
