"""The HTTP interface: who asks, in plural nouns. It decides nothing that the log does not."""
