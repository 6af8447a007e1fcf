"""Accounts that are opened when they are first used, where a rule of the ledger allows it."""

from collections.abc import Iterable, Sequence

from pipeline.ledger import Account, Books, Leg
from pipeline.settings import rule_for_account


def open_missing(books: Books, legs: Iterable[Leg]) -> list[Account]:
    """Open the unknown accounts that a rule fits; which ones, so that it can be undone."""
    opened = []
    for code, _amount, currency in legs:
        rule = None if code in books.accounts else rule_for_account(books.settings, code)
        if rule is not None:
            account = books.open(
                code=code,
                type=rule.type,
                currency=rule.currency or currency,
                overdraft=rule.overdraft,
            )
            opened.append(account)
    return opened


def close_again(books: Books, opened: Sequence[Account]) -> None:
    """The books without these accounts, the last that were opened: the operation was refused."""
    for account in opened:
        del books.accounts[account.code]
    del books.opened[len(books.opened) - len(opened) :]
    books.last_number -= len(opened)
