"""Bugs planted on purpose, because tests must be able to fail: `python -m tests.chaos.planted`.

Nothing here is ever imported by Trident: each bug is put in by a test, and taken out again.
"""
