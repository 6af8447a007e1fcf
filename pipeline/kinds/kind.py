"""What a kind of operation is made of. A further kind is a further module with one of these."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import Refusal

Body = dict[str, Any]


def nothing_more(_body: Body) -> Refusal | None:
    """The meaning of a kind whose shape says it all."""
    return None


def no_one(_body: Body) -> tuple[str, ...]:
    """The codes, or the ids, of a kind that names none."""
    return ()


def nothing_inside(_body: Body) -> tuple[tuple[str, Body], ...]:
    """The inner operations of a kind that holds none."""
    return ()


def as_it_is(_index: int, _name: str, refusal: Refusal) -> Refusal:
    """The refusal of an inner operation is that of the one which holds it."""
    return refusal


def nothing_moves(_body: Body) -> dict[str, int]:
    """The amounts of a kind that moves no money."""
    return {}


@dataclass(frozen=True)
class Kind:
    """One kind of operation: its shape, its meaning, what it names and what it does.

    `check` sees the body alone (validate); `currencies`, `amounts` and `accounts` say what it
    names (validate, authorize, post); `targets` are the ids of operations that it decides; `apply`
    is pure and yields postings or a refusal (post).
    `posts` says whether a posted operation of this kind has postings unless it, or another by it,
    was decided, which audit then demands (None: where one of its inner operations has); `opens`,
    whether it may open accounts, which need numbers; `internal`, that Trident alone submits it;
    `alone`, that no group holds it.
    `inner` are the operations that it holds, as (kind, body): each is validated and authorized as
    if it stood by itself, and `failed` says how the refusal of one, by its index and kind, refuses
    the whole.
    """

    name: str
    posts: bool | None
    schema: Schema
    example: Body
    apply: Callable[[Books, Entry], Effect]
    accounts: Callable[[Body], Iterable[str]] = no_one
    targets: Callable[[Body], Iterable[str]] = no_one
    check: Callable[[Body], Refusal | None] = nothing_more
    currencies: Callable[[Body], Iterable[str]] = nothing_moves
    amounts: Callable[[Body], dict[str, int]] = nothing_moves
    inner: Callable[[Body], Iterable[tuple[str, Body]]] = nothing_inside
    failed: Callable[[int, str, Refusal], Refusal] = as_it_is
    opens: bool = False
    internal: bool = False
    alone: bool = False
