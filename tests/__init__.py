"""The tests. Each says in one sentence what is true."""
