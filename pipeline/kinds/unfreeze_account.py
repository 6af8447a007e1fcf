"""unfreeze_account: a frozen account takes postings again."""

from pipeline.kinds.status import status_kind
from pipeline.ledger import Account
from pipeline.refusal import Refusal, refuse


def guard(account: Account) -> Refusal | None:
    """Only a frozen account can be unfrozen."""
    return refuse("account_not_frozen", account=account.code) if account.status == "open" else None


KIND = status_kind("unfreeze_account", "open", guard, "customers:42")
