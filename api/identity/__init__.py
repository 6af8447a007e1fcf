"""Signing in, sessions, and people, over HTTP."""
