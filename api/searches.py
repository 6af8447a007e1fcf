"""Searches: the query strings of lists, and what is asked for by them."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields, pre_load, validate
from sqlalchemy import Connection

from api import queries
from api.errors import Problem
from api.parameters import TimesQuery, says
from models.ledger import LedgerRef
from pipeline.kinds import OF_BOOKS
from pipeline.kinds.fields import check_code, check_currency
from pipeline.kinds.personals import check_subject
from pipeline.ledger import AMOUNT_MAX
from pipeline.privacy.naming import Naming
from pipeline.privacy.subjects import named
from pipeline.search.found import STATUSES
from pipeline.search.listing import Listing, UnknownAccountError
from pipeline.search.wanted import (
    TEXT_MAX_LENGTH,
    Place,
    SearchError,
    UnservedError,
    Wanted,
    read_amounts,
    read_members,
    read_prefix,
    read_words,
)

METADATA = "metadata."
# As flask-smorest shows it: the parameter's name has a part of the caller's own.
METADATA_SHOWN = "metadata.{name}"


def _amount(description: str) -> fields.Integer:
    return fields.Integer(
        validate=validate.Range(1, AMOUNT_MAX),
        metadata=says(description, format="int64"),
    )


class AmountsQuery(TimesQuery):
    """A list of what has amounts."""

    amount = _amount("This amount, in minor units.")
    amount_min = _amount("This amount or more.")
    amount_max = _amount("This amount or less.")


class DirectedQuery(AmountsQuery):
    """Filters of an account's postings."""

    direction = fields.String(
        validate=validate.OneOf(("debit", "credit")), metadata=says("Which side of the account.")
    )


class PostingsQuery(DirectedQuery):
    """Filters of a ledger's postings; all that are given must fit."""

    account = fields.String(validate=check_code, metadata=says("The code of their account."))
    prefix = fields.String(metadata=says("What the code of their account begins with."))
    currency = fields.String(validate=check_currency, metadata=says("Their currency."))


class OperationsQuery(AmountsQuery):
    """Filters of a ledger's operations; all that are given must fit."""

    status = fields.String(validate=validate.OneOf(STATUSES), metadata=says("Their status now."))
    kind = fields.String(validate=validate.OneOf(OF_BOOKS), metadata=says("Their kind."))
    account = fields.String(
        validate=check_code, metadata=says("The code of an account that they posted to.")
    )
    prefix = fields.String(
        metadata=says("What the code of an account that they posted to begins with.")
    )
    text = fields.String(
        metadata=says(
            "Words of their description, in any order, large or small; `ord*` is any word that"
            " begins so. Everything else than letters, digits and * only parts words.",
            maxLength=TEXT_MAX_LENGTH,
        )
    )
    subject = fields.String(
        validate=check_subject,
        metadata=says("Whom their personal data is about. It takes no other filter beside it."),
    )
    members = fields.List(
        fields.Tuple((fields.String(), fields.String())),
        data_key=METADATA_SHOWN,
        metadata=says(
            "A member of their metadata, such as `metadata.order=8123`; several must all be there.",
            type="string",
        ),
    )

    @pre_load
    def gather_members(self, data: Any, **_: Any) -> dict[str, Any]:
        """Put `metadata.a=1&metadata.b=2` under one name, as pairs."""
        pairs = [
            [name.removeprefix(METADATA), value]
            for name in data
            if name.startswith(METADATA)
            for value in (data.getlist(name) if hasattr(data, "getlist") else [data[name]])
        ]
        rest = {name: data[name] for name in data if not name.startswith(METADATA)}
        return rest | ({METADATA_SHOWN: pairs} if pairs else {})


def wanted_by(query: Mapping[str, Any], after: Place | int | None, **more: Any) -> Wanted:
    """What a query string asks for; raises Problem."""
    position, leg = after if isinstance(after, Place) else (after, 0)
    asked = ("since", "until", "status", "kind", "account", "currency", "direction")
    try:
        if "account" in query and "prefix" in query:
            raise SearchError("prefix", "Give account or prefix, not both.")
        return Wanted(
            limit=query["limit"],
            newest=query["order"] == "newest",
            after=position,
            after_leg=leg,
            prefix=read_prefix(query.get("prefix")),
            amounts=read_amounts(*map(query.get, ("amount", "amount_min", "amount_max"))),
            words=read_words(query["text"]) if "text" in query else (),
            members=read_members(query.get("members", ())),
            **{name: query[name] for name in asked if name in query},
            **more,
        )
    except SearchError as error:
        raise Problem("invalid_request", str(error), param=error.param) from None


def positions_of(
    connection: Connection, book: LedgerRef, query: Mapping[str, Any], after: int | None
) -> tuple[list[int], int | None]:
    """Where the operations of a subject stand, and behind which position there are more."""
    besides = query.keys() - {"subject", "limit", "order", "after"}
    if besides:
        raise Problem(
            "filter_unserved",
            f"subject and {', '.join(sorted(besides))} do not go together: give subject alone.",
            param="subject",
        )
    naming, limit = Naming(book, named(query["subject"])), query["limit"]
    newest = query["order"] == "newest"
    found = naming.positions(connection, limit + 1, after, newest=newest)
    return found[:limit], found[limit - 1] if len(found) > limit else None


def listing(*of: Any) -> Listing:
    """The list of these, as Listing takes them; raises Problem."""
    try:
        return Listing(*of)
    except UnknownAccountError:
        raise queries.unknown_account() from None
    except UnservedError as error:
        raise Problem("filter_unserved", str(error), param=error.param) from None
