"""The way of every operation, written out once:

    validate | authorize | post | audit | notify

A chain is a bell. Its argument is which ledgers have work, as [tenant, ledger, name] each; each
stage finds out by itself, in Postgres, what the work is. Lost, doubled, late or reordered bells
are harmless.
"""

from collections.abc import Sequence
from typing import Any

from celery import chain

from tasks.app import app

VALIDATE = "trident.validate"
AUTHORIZE = "trident.authorize"
POST = "trident.post"
AUDIT = "trident.audit"
NOTIFY = "trident.notify"

Bell = list[list[Any]]


def ring_chain(bell: Bell, says: str, *, careful: bool = False) -> None:
    """Publish one chain for these ledgers. `says` is what Flower shows: ledger and position."""
    chain(
        *(step(name, bell, says, careful) for name in (VALIDATE, AUTHORIZE, POST, AUDIT, NOTIFY))
    ).apply_async()


def step(name: str, bell: Bell, says: str, careful: bool) -> Any:
    """One stage's message: a queue of its own, addressed directly (no exchange, no binding)."""
    return app.signature(
        name,
        args=(bell, careful),
        immutable=True,
        queue=name,
        argsrepr=says,
        kwargsrepr="careful" if careful else "",
        ignore_result=True,
    )


def describe(ledgers: Sequence[tuple[str, int]]) -> str:
    """`default/main up to 1042`, for (ledger, position) each; the first three of many."""
    shown = ", ".join(f"{name} up to {upto}" for name, upto in ledgers[:3])
    return shown if len(ledgers) <= 3 else f"{shown} and {len(ledgers) - 3} more"  # noqa: PLR2004
