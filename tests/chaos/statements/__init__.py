"""What each statement that Trident sends means, on the rows in memory, one function each.

`step` is called where the server could let another session go on: before each statement takes
effect. A statement reads everything at one moment, as with the snapshot that it has in Postgres.
"""
