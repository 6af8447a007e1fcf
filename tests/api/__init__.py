"""The HTTP interface, over Flask's test client and over a real server."""
