"""What is DONE: accept, then the five stages validate, authorize, post, audit, notify."""
