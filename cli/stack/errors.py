"""What can keep the stack from running. Each message says what to do; the commands exit with 2.

StackError
├── HomeUnusable        TRIDENT_HOME cannot be written
├── AlreadyRunning      another stack runs in this TRIDENT_HOME
├── OtherMajorVersion   the data was written by another PostgreSQL
├── ServersGiven        the servers named in the environment cannot be used
├── UserUnusable        there is no system user to run PostgreSQL as
└── NotUp               a process did not come up
"""


class StackError(Exception):
    """The stack cannot start or go on; the message says what to do."""


class HomeUnusable(StackError):
    """TRIDENT_HOME cannot be created or written."""


class AlreadyRunning(StackError):
    """Another stack runs in this TRIDENT_HOME."""


class OtherMajorVersion(StackError):
    """The data in TRIDENT_HOME was written by another major version of PostgreSQL."""


class ServersGiven(StackError):
    """The servers that the environment names cannot be used as they are."""


class UserUnusable(StackError):
    """PostgreSQL refuses to run as root, and no other user can be made for it."""


class NotUp(StackError):
    """A process did not come up; the message names its log and quotes its end."""
