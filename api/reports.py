"""Reports over a ledger: rolled-up balances, trial balance, balance sheet, income statement.

They read through an engine of their own, so that a large one takes no connection from requests.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE
from sqlalchemy import Connection

from api import openapi
from api.answers import answer
from api.auth import may
from api.errors import Problem
from api.report_queries import BalancesQuery, IncomeQuery, SheetQuery, dates, times
from api.state import state
from models.db import tenant_reading
from models.ledger import LedgerRef
from pipeline.reports import books, documents, income
from pipeline.reports.balances import held
from pipeline.reports.moment import Moment, at_time, by_date, now
from pipeline.reports.too_large import TooLargeError
from pipeline.reports.tree import tree

blueprint = Blueprint(
    "Reports",
    __name__,
    url_prefix="/v1/ledgers/<ledger>",
    description="What the books say, now or at any date: by time of acceptance (`at`) the past"
    " never changes, by effective date (`effective`) an operation of today may belong to last"
    " month.",
)

# About 2 MB of JSON.
ROWS_MAX = 10_000
PROBLEMS = ("unknown_ledger", "invalid_request", "report_too_large")
LEDGER = [dict(openapi.LEDGER)]


@blueprint.route("/balances", methods=["GET"], parameters=LEDGER)
@blueprint.arguments(BalancesQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("Balances", "Each code before those below it.")},
        problems=PROBLEMS,
        action="reports.read",
    )
)
def balances(query: dict[str, Any], ledger: str) -> Response:
    """Show balances by hierarchy

    The parts of a code, between its colons, make a hierarchy: `customers` holds what
    `customers:eu:42` holds. Without `depth` it is shown one level below `prefix`.
    """
    prefix = query["prefix"]
    least = len(prefix.removesuffix(":").split(":")) if prefix else 1
    with reading(ledger) as (connection, book):
        moment = moment_of(connection, book, query)
        found = held(connection, book, moment, prefix=prefix)
        nodes = tree(found, query.get("depth", least + bool(prefix)), least, ROWS_MAX)
        return answer(documents.balances(book, moment, prefix, nodes))


@blueprint.route("/reports/trial-balance", methods=["GET"], parameters=LEDGER)
@blueprint.arguments(SheetQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route({200: ("TrialBalance", "It.")}, problems=PROBLEMS, action="reports.read")
)
def trial_balance(query: dict[str, Any], ledger: str) -> Response:
    """Show the trial balance

    Every account that had postings by then, its balance on the debit or the credit side.
    """
    with reading(ledger) as (connection, book):
        moment, rows = _rows(connection, book, query)
        return answer(documents.trial_balance(book, moment, rows, books.totals(rows)))


@blueprint.route("/reports/balance-sheet", methods=["GET"], parameters=LEDGER)
@blueprint.arguments(SheetQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route({200: ("BalanceSheet", "It.")}, problems=PROBLEMS, action="reports.read")
)
def balance_sheet(query: dict[str, Any], ledger: str) -> Response:
    """Show the balance sheet

    In each currency assets equal liabilities, equity and the current result: what income and
    expense accounts hold that is not closed into equity yet.
    """
    with reading(ledger) as (connection, book):
        moment, rows = _rows(connection, book, query)
        return answer(documents.balance_sheet(book, moment, rows, books.totals(rows)))


@blueprint.route("/reports/income-statement", methods=["GET"], parameters=LEDGER)
@blueprint.arguments(IncomeQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route({200: ("IncomeStatement", "It.")}, problems=PROBLEMS, action="reports.read")
)
def income_statement(query: dict[str, Any], ledger: str) -> Response:
    """Show the income statement

    What income and expense accounts gained in the period.
    """
    with reading(ledger) as (connection, book):
        if query["basis"] == "effective":
            since, until = dates(query)
            change = income.by_effective_date(connection, book, since, until)
        else:
            since, until = times(query)
            change = income.by_acceptance(connection, book, since, until)
        rows = books.rows(change.held, query.get("depth"), ROWS_MAX)
        totals = books.totals(rows)
        return answer(
            documents.income_statement(
                book, query["basis"], since, until, change.complete, rows, totals
            )
        )


@contextmanager
def reading(ledger: str) -> Iterator[tuple[Connection, LedgerRef]]:
    """A snapshot of the ledger of that name, for who may read it; raises Problem."""
    who = may("reports.read")
    book = state().books.find(who, ledger)
    try:
        with tenant_reading(who.tenant_id) as connection:
            yield connection, book
    except TooLargeError as error:
        raise Problem("report_too_large", str(error)) from None


def moment_of(connection: Connection, book: LedgerRef, query: dict[str, Any]) -> Moment:
    """The moment that a query asks for."""
    if "at" in query:
        return at_time(connection, book, query["at"])
    if "effective" in query:
        return by_date(connection, book, query["effective"])
    return now(connection, book)


def _rows(
    connection: Connection, book: LedgerRef, query: dict[str, Any]
) -> tuple[Moment, list[books.Row]]:
    moment = moment_of(connection, book, query)
    return moment, books.rows(held(connection, book, moment), query.get("depth"), ROWS_MAX)
