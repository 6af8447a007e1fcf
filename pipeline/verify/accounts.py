"""The accounts: each row is where its postings end, and within its limit."""

from pipeline.ledger import Account
from pipeline.verify.finding import FoundError
from pipeline.verify.walk import Running


class AccountsCheck:
    """Takes the rows one by one. `running` is where the postings have come, by number and layer."""

    def __init__(self, running: dict[tuple[int, bool], Running]) -> None:
        self._running = running
        self.count = 0

    def check(self, account: Account) -> None:
        """One row; raises FoundError."""
        self.count += 1
        posted = self._running.pop((account.number, False), None) or Running(account.currency)
        pending = self._running.pop((account.number, True), None) or Running(account.currency)
        for what, found, expected in (
            ("version", account.version, posted.version),
            ("currency", account.currency, posted.currency),
            ("debits_posted", account.debits_posted, posted.debits),
            ("credits_posted", account.credits_posted, posted.credits),
            ("pending net", account.credits_pending - account.debits_pending, pending.balance),
        ):
            if found != expected:
                raise FoundError(
                    f"its {what} is {found}, and its postings make it {expected}",
                    account=account.code,
                )
        if account.available is not None and account.available < 0:
            raise FoundError(
                f"it is {-account.available} minor units past its limit", account=account.code
            )

    def check_no_more(self) -> None:
        """All rows were looked at; raises FoundError where other accounts have postings."""
        for number, _pending in self._running:
            raise FoundError("it has postings and does not exist", account=f"number {number}")
