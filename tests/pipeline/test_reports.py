"""Balances and statements at any date, against a naive recomputation from postings and bodies."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from models.db import tenant_reading
from pipeline.ledger import DEBIT_NORMAL, Account
from pipeline.reports import books, moment, period
from pipeline.reports.balances import at_moment, held
from pipeline.reports.tree import tree
from tests.bank import Bank, new_ledger
from tests.pipeline.calendar import Calendar, Entry, date, utc

CODES = ("world", "a", "a:x", "fees")
TYPES = {"world": "asset", "a": "liability", "a:x": "liability", "fees": "income"}
DAYS = 6


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[int, int, str, dict[str, Any]]]:
    """Operations with day and hour of acceptance, and perhaps an effective date."""
    made = []
    for day, hour in sorted(draw(st.lists(st.tuples(days(), st.integers(1, 23)), max_size=10))):
        body: dict[str, Any] = {}
        effective = draw(st.none() | days())
        if effective is not None:
            body["effective_date"] = date(effective).isoformat()
        if draw(st.booleans()):
            body["metadata"] = {"effective_date": date(draw(days())).isoformat()}
        source, destination, other = draw(st.permutations(CODES))[:3]
        amount = draw(st.integers(1, 500))
        if draw(st.booleans()):
            transfer = {"source": source, "destination": destination, "amount": amount}
            made.append((day, hour, "transfer", {**body, **transfer, "currency": "EUR"}))
        else:
            legs = [(source, "debit", amount + 7), (destination, "credit", amount)]
            legs += [(other, "credit", 4), (other, "credit", 3)]
            members = [
                {"account": code, "direction": side, "amount": cents, "currency": "EUR"}
                for code, side, cents in legs
            ]
            made.append((day, hour, "journal", {**body, "legs": members}))
    return made


def days() -> st.SearchStrategy[int]:
    return st.integers(0, DAYS - 1)


def played(log: list[tuple[int, int, str, dict[str, Any]]], runs: int) -> Calendar:
    """The log accepted and worked, in so many runs of the stages."""
    calendar = Calendar(Bank(new_ledger()))
    for code in CODES:
        calendar.open(code, type=TYPES[code])
    for number, (day, hour, kind, body) in enumerate(log):
        calendar.accept(utc(day, hour), kind, body)
        if number % runs == 0:
            calendar.bank.work()
    calendar.bank.work()
    return calendar


def net(entries: list[Entry], code: str, counts: Any) -> int:
    """Credits less debits of what counts."""
    return sum(one.amount for one in entries if one.code == code and counts(one))


def balances(connection: Connection, calendar: Calendar, at: moment.Moment) -> dict[str, int]:
    """By code what the accounts hold, by the code under test."""
    found = held(connection, calendar.bank.ledger, at)
    return {one.account.code: one.net for one in found}


@pytest.mark.usefixtures("env")
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(logs(), st.integers(1, 4))
def test_balances_of_every_date_are_the_sums_of_what_counts(
    log: list[tuple[int, int, str, dict[str, Any]]], runs: int
) -> None:
    """By time of acceptance and by effective date, at every hour and day that matters."""
    calendar = played(log, runs)
    entries = calendar.entries()
    ledger = calendar.bank.ledger
    with tenant_reading(ledger.tenant_id) as connection:
        for time in {utc(0, 0), utc(DAYS), *(utc(day, hour) for day, hour, *_ in log)}:
            at = moment.at_time(connection, ledger, time)
            assert at.complete
            assert balances(connection, calendar, at) == {
                code: net(entries, code, lambda one, t=time: one.accepted_at <= t) for code in CODES
            }
        for day in range(-1, DAYS + 1):
            by = moment.by_date(connection, ledger, date(day))
            assert balances(connection, calendar, by) == {
                code: net(entries, code, lambda one, d=day: one.effective <= date(d))
                for code in CODES
            }


@pytest.mark.usefixtures("env")
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(logs(), st.none() | st.integers(0, DAYS), st.none() | st.integers(0, DAYS))
def test_statements_of_every_period_have_its_lines_and_balances(
    log: list[tuple[int, int, str, dict[str, Any]]], since: int | None, until: int | None
) -> None:
    """Opening balance, the lines in order with a running balance, totals, closing balance."""
    calendar = played(log, 2)
    ledger, entries = calendar.bank.ledger, calendar.entries()
    low, high = (None if day is None else date(day) for day in (since, until))
    with tenant_reading(ledger.tenant_id) as connection:
        now = moment.now(connection, ledger)
        for account in [one.account for one in held(connection, ledger, now)]:
            mine = [one for one in entries if one.code == account.code]
            by_date = period.by_effective_date(connection, ledger, account, low, high)
            dated = sorted(mine, key=lambda one: (one.effective, one.position))
            check(by_date, account, dated, [one.effective for one in dated], low, high)
            starts = [None if day is None else moment.start_of(day) for day in (low, high)]
            by_time = period.by_acceptance(connection, ledger, account, *starts)
            check(by_time, account, mine, [one.accepted_at for one in mine], *starts)


def check(
    statement: period.Statement,
    account: Account,
    entries: list[Entry],
    places: list[Any],
    since: Any,
    until: Any,
) -> None:
    """The statement is that of the entries, each of which stands at its place in time."""
    sign = -1 if account.type in DEBIT_NORMAL else 1
    before = [e for e, at in zip(entries, places, strict=True) if since and at < since]
    within = [
        e
        for e, at in zip(entries, places, strict=True)
        if not (since and at < since) and not (until and at >= until)
    ]
    balance = sign * sum(e.amount for e in before)
    if since is None or until is None or since <= until:
        assert statement.opening == balance
        expected = []
        for entry in within:
            balance += sign * entry.amount
            expected.append((entry.position, sign * entry.amount, balance))
        lines = [(line.position, line.amount, line.balance) for line in statement.lines()]
        assert lines == expected
        assert statement.closing == balance
        assert statement.debits == -sum(e.amount for e in within if e.amount < 0)
        assert statement.credits == sum(e.amount for e in within if e.amount > 0)


def test_the_sheets_balance_at_any_date(bank: Bank) -> None:
    """Assets are liabilities, equity and the current result, by either basis, at every day."""
    calendar = Calendar(bank)
    for code, type_ in (
        ("cash", "asset"),
        ("customers:1", "liability"),
        ("capital", "equity"),
        ("sales", "income"),
        ("rent", "expense"),
    ):
        calendar.open(code, type=type_)
    calendar.transfer(utc(1), "cash", "capital", 10_000)
    calendar.transfer(utc(2), "cash", "sales", 500, effective_date="2026-01-02")
    calendar.transfer(utc(3), "rent", "cash", 200, effective_date="2026-01-20")
    calendar.transfer(utc(4), "cash", "customers:1", 70)
    bank.work()
    with tenant_reading(bank.ledger.tenant_id) as connection:
        results = {}
        for day in range(25):
            by = moment.by_date(connection, bank.ledger, date(day))
            (total,) = books.totals(books.rows(held(connection, bank.ledger, by))) or [
                books.Totals("EUR")
            ]
            assert total.balanced
            results[day] = total.result
    assert [results[day] for day in (0, 1, 2, 18, 19, 24)] == [0, 500, 500, 500, 300, 300]


def test_rows_are_rolled_up_by_type_and_currency(bank: Bank) -> None:
    """A depth sums the accounts below it; what differs in type or currency stays apart."""
    calendar = Calendar(bank)
    for code, more in (
        ("world", {"type": "asset"}),
        ("shop:eu:1", {}),
        ("shop:eu:2", {}),
        ("shop:fees", {"type": "expense"}),
        ("shop-eu", {}),
    ):
        calendar.open(code, **more)
    calendar.transfer(utc(1), "world", "shop:eu:1", 10)
    calendar.transfer(utc(1), "shop:eu:2", "world", 3)
    calendar.transfer(utc(1), "shop:fees", "world", 2)
    calendar.transfer(utc(1), "world", "shop-eu", 50)
    bank.work()
    with tenant_reading(bank.ledger.tenant_id) as connection:
        now = moment.now(connection, bank.ledger)
        every = list(held(connection, bank.ledger, now))
        below = list(held(connection, bank.ledger, now, prefix="shop"))
        strictly = list(held(connection, bank.ledger, now, prefix="shop:eu:"))
    rows = [(r.code, r.type, r.accounts, r.debit, r.credit) for r in books.rows(every, 1)]
    assert rows == [
        ("shop", "expense", 1, 2, 0),
        ("shop", "liability", 2, 3, 10),
        ("shop-eu", "liability", 1, 0, 50),
        ("world", "asset", 1, 55, 0),
    ]
    assert [(n.code, n.accounts, n.balance, n.net) for n in tree(below, 2)] == [
        ("shop", 3, None, 5),
        ("shop:eu", 2, 7, 7),
        ("shop:fees", 1, 2, -2),
    ]
    assert [one.account.code for one in strictly] == ["shop:eu:1", "shop:eu:2"]


def test_what_is_not_posted_yet_is_said(bank: Bank) -> None:
    """A moment is complete once all of the log that belongs to it is posted."""
    calendar = Calendar(bank)
    calendar.open("a")
    bank.work()
    calendar.open("b")
    with tenant_reading(bank.ledger.tenant_id) as connection:
        before = moment.at_time(connection, bank.ledger, utc(-1))
        after = moment.at_time(connection, bank.ledger, utc(1))
        assert (before.complete, before.position) == (True, 0)
        assert (after.complete, after.position) == (False, 1)
        assert not moment.now(connection, bank.ledger).complete


def test_a_statement_that_must_sort_too_much_is_refused(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By effective date, if anything is dated elsewhere; by acceptance it is only a range."""
    monkeypatch.setattr(period, "SORTED_MAX", 2)
    calendar = Calendar(bank)
    calendar.open("world", type="asset")
    calendar.open("a")
    calendar.open("b")
    for day in range(3):
        calendar.transfer(utc(day), "world", "a", 1)
        calendar.transfer(utc(day), "world", "b", 1, effective_date="2026-01-09")
    bank.work()
    with tenant_reading(bank.ledger.tenant_id) as connection:
        every = held(connection, bank.ledger, moment.now(connection, bank.ledger))
        accounts = {one.account.code: one.account for one in every}
        plain = period.by_effective_date(connection, bank.ledger, accounts["a"], None, None)
        assert len(list(plain.lines())) == 3
        with pytest.raises(period.TooLargeError, match="basis=posting"):
            period.by_effective_date(connection, bank.ledger, accounts["b"], None, None)
        assert [
            one.net
            for one in at_moment(
                connection,
                bank.ledger,
                moment.by_date(connection, bank.ledger, dt.date.max),
                accounts.values(),
            )
        ] == [3, 3, -6]
