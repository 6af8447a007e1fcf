"""The kinds of operation, by name: one module each, listed here by hand.

The stages know kinds through this table alone, so a further kind changes no stage.
"""

from pipeline.kinds import (
    close_account,
    freeze_account,
    journal,
    open_account,
    transfer,
    unfreeze_account,
    update_account,
)
from pipeline.kinds.kind import Kind


class UnknownKindError(LookupError):
    """The log holds a kind that this process does not know: it is older than the operation."""


KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (
        transfer,
        journal,
        open_account,
        update_account,
        freeze_account,
        unfreeze_account,
        close_account,
    )
}


def kind_of(name: str) -> Kind:
    """The kind of this name; raises UnknownKindError."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownKindError(f"This process knows no operations of kind {name}.") from None
