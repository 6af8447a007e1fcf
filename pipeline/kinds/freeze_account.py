"""freeze_account: the account takes no postings until it is unfrozen."""

from pipeline.kinds.status import status_kind
from pipeline.ledger import Account
from pipeline.refusal import Refusal, refuse


def guard(account: Account) -> Refusal | None:
    """Only an open account can be frozen."""
    return refuse("account_frozen", account=account.code) if account.status == "frozen" else None


KIND = status_kind("freeze_account", "frozen", guard, "customers:42")
