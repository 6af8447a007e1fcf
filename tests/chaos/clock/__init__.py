"""Clocks that are wrong: the database's as the app sees it, and the wall clock of app processes."""
