"""WHEN it is done: the Celery app, the chain of five stages, the ringing and the sweeping."""
