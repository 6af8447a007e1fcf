"""Reconciliation, below the API and the commands."""
