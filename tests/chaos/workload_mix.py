"""How often the clients of a simulation submit each sort of operation, and what may name which."""

# Out of a hundred operations so many are of each sort; the rest moves money.
MIX = {
    "repeat": 5,
    "alter": 3,
    "fund": 12,
    "unknown": 1,
    "mismatch": 2,
    "currency": 1,
    "unauthorized": 2,
    "limited": 3,
    "same": 1,
    "status": 4,
    "overdraft": 2,
    "journal": 3,
    "open": 2,
    "hold": 6,
    "capture": 6,
    "release": 2,
    "expire": 1,
    "reversal": 5,
    "foreign": 1,
    "first use": 2,
    "fee": 2,
    "condition": 2,
    "exchange": 2,
    "group": 5,
    "schedule": 3,
    "pause": 4,
    "approve": 6,
    "refuse": 3,
    "limit": 1,
    "approval": 1,
    "allow": 1,
}
SORTS = [sort for sort, share in MIX.items() for _ in range(share)]
# These name another operation.
DECIDING = frozenset(
    {"capture", "release", "expire", "reversal", "foreign", "approve", "refuse", "pause"}
)
# What later operations may name each kind as; besides, what is large may wait for approvals.
SORTED = {
    "hold": ("held",),
    "transfer": ("paid",),
    "journal": ("paid",),
    "capture": ("paid",),
    "exchange": ("paid",),
    "group": ("paid",),
    "schedule": ("scheduled",),
    "remove_approval": ("waiting",),
    "set_limit": ("waiting",),
    "remove_limit": ("waiting",),
}
CALENDAR = ("pause_schedule", "resume_schedule", "resume_schedule", "cancel_schedule")
STATUS = (
    "freeze_account",
    "unfreeze_account",
    "unfreeze_account",
    "close_account",
    "reopen_account",
)
