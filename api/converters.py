"""How addresses are read."""

from werkzeug.routing import BaseConverter


class AccountCode(BaseConverter):
    """An account's code. It may hold slashes, as they are or percent-encoded.

    Where a route below the account fits (`.../postings`), that one is meant.
    """

    regex = ".+?"
    part_isolating = False
    weight = 200  # as werkzeug's own `path`: whatever is more specific goes first
