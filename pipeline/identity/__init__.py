"""Who may ask: people with their passwords and sessions, and programs with their keys."""
