"""Everything that starts and stops processes: `start` the whole stack, or only its `servers`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.stack.stack import running, servers, start

__all__ = ["running", "servers", "start"]


def __getattr__(name: str) -> Any:
    """Load the stack when it is asked for: its warden, which waits in this package, needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("cli.stack.stack"), name)
