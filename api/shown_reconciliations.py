"""Statements, lines, matches and what explains a difference, as clients see them."""

from collections.abc import Iterable
from typing import Any

import orjson

from models.operation import show_id
from pipeline.reconcile.items import Place, Suggestion
from pipeline.reconcile.subject import Subject
from pipeline.reconcile.summary import Part, Summary


def summary(of: Subject, found: Summary) -> dict[str, Any]:
    """How the books and the statement stand."""
    return {
        "object": "reconciliation",
        "ledger": of.ledger.name,
        "account": of.code,
        "currency": of.currency,
        "date": found.date,
        "books_balance": found.books_balance,
        "statement_balance": found.statement_balance,
        "statement_balance_known": found.statement_balance_known,
        "difference": found.difference,
        "explained_by": {
            "brought_forward": found.brought_forward,
            "unmatched_postings": _part(found.unmatched_postings),
            "unmatched_lines": _part(found.unmatched_lines),
            "ignored_postings": _part(found.ignored_postings),
            "ignored_lines": _part(found.ignored_lines),
            "in_transit": found.in_transit,
            "missing_statements": found.missing_statements,
        },
        "statements": found.statements,
        "bookings_on_their_way": found.bookings_on_their_way,
        "reconciled": found.reconciled,
    }


def _part(part: Part) -> dict[str, int]:
    return {"count": part.items, "amount": part.amount}


def statement(of: Subject, row: Any) -> dict[str, Any]:
    """A statement from a row of statements.COLUMNS."""
    return {
        "object": "external_statement",
        "account": of.code,
        **{name: value for name, value in row._mapping.items() if name != "part"},
    }


def line(of: Subject, row: Any) -> dict[str, Any]:
    """A line from a row of unmatched.LINES_PAGE."""
    return {
        "object": "external_line",
        "account": of.code,
        "number": row.number,
        "statement": row.statement,
        "booking_date": row.booking_date,
        "value_date": row.value_date,
        "amount": row.amount,
        "currency": of.currency,
        "bank_id": row.bank_id,
        "references": row.refs,
        "counterparty": row.counterparty,
        "counterparty_account": row.counterparty_account,
        "description": row.description,
        "place": row.place,
        **_matched(row),
    }


def posting(of: Subject, row: Any) -> dict[str, Any]:
    """A posting from a row of unmatched.POSTINGS_PAGE; its amount in the statement's sense."""
    return {
        "object": "reconciled_posting",
        "account": of.code,
        "operation": show_id(row.id),
        "position": row.position,
        "leg": row.leg,
        "effective_date": row.day,
        "amount": row.amount,
        "currency": of.currency,
        "idempotency_key": row.idempotency_key,
        "description": row.description,
        **_matched(row),
    }


def _matched(row: Any) -> dict[str, Any]:
    state = "unmatched"
    if row.match is not None:
        state = "ignored" if row.rule == "ignored" else "matched"
    return {"state": state, "match": row.match, "rule": row.rule, "reason": row.reason}


def match(of: Subject, row: Any) -> dict[str, Any]:
    """A match from a row of matches.PAGE."""
    undone = None
    if row.undone_by is not None:
        undone = {
            "at": row.undone_at,
            "by": row.undone_by_whom,
            "reason": row.undone_reason,
        }
    return {
        "object": "match",
        "account": of.code,
        "number": row.match,
        "rule": row.rule,
        "reason": row.reason,
        "lines": row.lines or [],
        "postings": [{"position": position, "leg": leg} for position, leg in row.postings or []],
        "made_at": row.made_at,
        "made_by": row.made_by,
        "undone": undone,
    }


def suggestions(found: Iterable[Suggestion], rows: dict[Place, Any]) -> list[dict[str, Any]]:
    """What a line may belong to, with the operations' ids."""
    return [
        {
            "operation": show_id(rows[one.place].id),
            "position": one.place.position,
            "leg": one.place.leg,
            "reason": one.reason,
            "difference": one.difference,
            "days": one.days,
        }
        for one in found
        if one.place in rows
    ]


def mapping(row: Any) -> dict[str, Any]:
    """A stored CSV mapping from a row of mappings.NEWEST."""
    stored = row.mapping if isinstance(row.mapping, dict) else orjson.loads(row.mapping)
    return {
        "object": "csv_mapping",
        "name": row.name,
        "version": row.version,
        "mapping": stored,
        "made_at": row.made_at,
        "made_by": row.made_by,
    }
