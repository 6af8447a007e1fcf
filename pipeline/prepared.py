"""Statements that a connection parses and plans once: for small transactions that is a third.

psycopg2 sends every statement as text. PREPARE and EXECUTE are text as well, so a statement that is
prepared can still be sent in one message with others.
"""

import re
from typing import Any
from weakref import WeakKeyDictionary

import psycopg2

PLACEHOLDER = re.compile(r"%\((\w+)\)s")

# By connection, the names that it knows. A connection that is lost takes its statements along.
_known: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


class Prepared:
    """One statement with %(named)s parameters, each of which has a type."""

    def __init__(self, name: str, statement: str, **types: str) -> None:
        names = list(types)
        numbered = PLACEHOLDER.sub(lambda match: f"${names.index(match[1]) + 1}", statement)
        self._name = name
        self._prepare = f"PREPARE {name} ({', '.join(types.values())}) AS {numbered}"
        self.execute = f"EXECUTE {name} ({', '.join(f'%({one})s' for one in names)});\n"

    def on(self, cursor: Any) -> str:
        """The text that executes it on this connection, which knows it from now on.

        What a connection knows outlives a transaction that is rolled back.
        """
        known = _known.setdefault(cursor.connection, set())
        if self._name not in known:
            try:
                cursor.execute(self._prepare)
            except psycopg2.Error:
                # Whether the server knows it now cannot be told, and it refuses to learn it twice.
                cursor.connection.close()
                raise
            known.add(self._name)
        return self.execute
