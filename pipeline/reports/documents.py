"""Reports as documents: what the API answers and what `trident report --format json` prints.

`write` says how amounts are written: minor units as they are, or as decimals of the currency.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

from models.ledger import LedgerRef
from pipeline.reports.balances import Held
from pipeline.reports.books import Row, Totals
from pipeline.reports.moment import Moment
from pipeline.reports.tree import Node

Document = dict[str, Any]
# An amount in minor units and its currency, as it shall be written.
Write = Callable[[int, str], Any]


def minor(amount: int, _currency: str) -> int:
    """As programs calculate with it."""
    return amount


def balance(ledger: LedgerRef, moment: Moment, held: Held) -> Document:
    """What an account held at a moment."""
    account = held.account
    return {
        "object": "balance",
        **_moment(ledger, moment),
        "account": account.code,
        "type": account.type,
        "currency": account.currency,
        "balance": held.balance,
    }


def balances(ledger: LedgerRef, moment: Moment, prefix: str, nodes: Iterable[Node]) -> Document:
    """The nodes of a hierarchy."""
    rows = [
        {
            "code": node.code,
            "depth": node.depth,
            "currency": node.currency,
            "accounts": node.accounts,
            "balance": node.balance,
            "net": node.net,
        }
        for node in nodes
    ]
    return {"object": "balances", **_moment(ledger, moment), "prefix": prefix, "rows": rows}


def trial_balance(
    ledger: LedgerRef,
    moment: Moment,
    rows: Iterable[Row],
    totals: Iterable[Totals],
    write: Write = minor,
) -> Document:
    """Debit and credit balances side by side."""
    return {
        "object": "trial_balance",
        **_moment(ledger, moment),
        "rows": [
            {
                **_row(row),
                "debit": write(row.debit, row.currency),
                "credit": write(row.credit, row.currency),
            }
            for row in rows
        ],
        "totals": [
            {
                "currency": total.currency,
                "debit": write(total.debit, total.currency),
                "credit": write(total.credit, total.currency),
                "balanced": total.balanced,
            }
            for total in totals
        ],
    }


def balance_sheet(
    ledger: LedgerRef,
    moment: Moment,
    rows: Iterable[Row],
    totals: Iterable[Totals],
    write: Write = minor,
) -> Document:
    """Assets against liabilities, equity and the current result."""
    rows = list(rows)
    return {
        "object": "balance_sheet",
        **_moment(ledger, moment),
        "assets": _section(rows, "asset", write),
        "liabilities": _section(rows, "liability", write),
        "equity": _section(rows, "equity", write),
        "totals": [
            {
                "currency": total.currency,
                "assets": write(total.asset, total.currency),
                "liabilities": write(total.liability, total.currency),
                "equity": write(total.equity, total.currency),
                "current_result": write(total.result, total.currency),
                "balanced": total.balanced,
            }
            for total in totals
        ],
    }


def income_statement(
    ledger: LedgerRef,
    basis: str,
    since: dt.date | None,
    until: dt.date | None,
    complete: bool,
    rows: Iterable[Row],
    totals: Iterable[Totals],
    write: Write = minor,
) -> Document:
    """Income against expenses of a period."""
    rows = list(rows)
    return {
        "object": "income_statement",
        "ledger": ledger.name,
        "basis": basis,
        "since": since,
        "until": until,
        "complete": complete,
        "income": _section(rows, "income", write),
        "expenses": _section(rows, "expense", write),
        "totals": [
            {
                "currency": total.currency,
                "income": write(total.income, total.currency),
                "expenses": write(total.expense, total.currency),
                "result": write(total.result, total.currency),
            }
            for total in totals
        ],
    }


def _moment(ledger: LedgerRef, moment: Moment) -> Document:
    return {
        "ledger": ledger.name,
        "at": moment.at,
        "effective": moment.effective,
        "position": moment.position,
        "complete": moment.complete,
    }


def _row(row: Row) -> Document:
    return {
        "code": row.code,
        "name": row.name,
        "type": row.type,
        "currency": row.currency,
        "accounts": row.accounts,
    }


def _section(rows: Iterable[Row], of_type: str, write: Write) -> list[Document]:
    return [
        {**_row(row), "balance": write(row.balance, row.currency)}
        for row in rows
        if row.type == of_type
    ]
