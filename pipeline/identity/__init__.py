"""People, their passwords and second factors, and their sessions."""
