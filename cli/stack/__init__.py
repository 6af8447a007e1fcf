"""Everything that starts and stops processes: `start` the whole stack, or only its `servers`."""

from cli.stack.errors import StackError
from cli.stack.stack import running, servers, start

__all__ = ["StackError", "running", "servers", "start"]
