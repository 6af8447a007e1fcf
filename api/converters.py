"""How addresses are read. No name holds a NUL, which the database takes in no text."""

from werkzeug.routing import BaseConverter


class Name(BaseConverter):
    """A name, a number or an id: one part of an address."""

    regex = r"[^/\x00]+"
    # Werkzeug takes a slash in the pattern for one in the name, and then tries each route in turn.
    part_isolating = True


class AccountCode(BaseConverter):
    """An account's code. It may hold slashes, as they are or percent-encoded.

    Where a route below the account fits (`.../postings`), that one is meant.
    """

    regex = ".+?"
    part_isolating = False
    weight = 200  # as werkzeug's own `path`: whatever is more specific goes first


class Reference(AccountCode):
    """A tenant's own name of a subject, likewise."""

    regex = r"[^\x00\n]+?"
