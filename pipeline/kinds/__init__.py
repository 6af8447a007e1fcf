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
