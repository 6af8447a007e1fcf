"""Reconciliation: statements from outside, matched with the postings of one account."""
