"""The kinds of operation, by name: one module each, listed here by hand.

The stages know kinds through this table alone, so a further kind changes no stage.
"""

from pipeline.kinds import (
    allow_accounts,
    approve,
    cancel_schedule,
    capture,
    close_account,
    disallow_accounts,
    event,
    exchange,
    expire,
    freeze_account,
    group,
    hold,
    journal,
    occur,
    open_account,
    pause_schedule,
    refuse,
    release,
    remove_approval,
    remove_limit,
    reopen_account,
    resume_schedule,
    reversal,
    schedule,
    set_approval,
    set_limit,
    transfer,
    unfreeze_account,
    update_account,
)
from pipeline.kinds.counted import counted
from pipeline.kinds.kind import Kind


class UnknownKindError(LookupError):
    """The log holds a kind that this process does not know: it is older than the operation."""


KINDS: dict[str, Kind] = {
    module.KIND.name: counted(module.KIND)
    for module in (
        transfer,
        journal,
        exchange,
        hold,
        capture,
        release,
        expire,
        reversal,
        group,
        schedule,
        occur,
        pause_schedule,
        resume_schedule,
        cancel_schedule,
        approve,
        refuse,
        open_account,
        update_account,
        freeze_account,
        unfreeze_account,
        close_account,
        reopen_account,
        set_limit,
        remove_limit,
        set_approval,
        remove_approval,
        allow_accounts,
        disallow_accounts,
        event,
    )
}


# Those of the books: events have a ledger of their own.
OF_BOOKS = tuple(name for name in KINDS if name != event.KIND.name)
# What clients and files may submit; Trident itself submits the others.
OFFERED = {name: kind for name, kind in KINDS.items() if not kind.internal}


def kind_of(name: str) -> Kind:
    """The kind of this name; raises UnknownKindError."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownKindError(f"This process knows no operations of kind {name}.") from None
