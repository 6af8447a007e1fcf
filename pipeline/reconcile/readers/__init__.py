"""Readers: a file from outside becomes statements, or is refused whole, naming the place."""
