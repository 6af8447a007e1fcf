"""One shape for every log line: JSON with a time, a level, an event, and what it is about.

No bodies, names or other personal data go into logs: ids, positions and counts do.
"""

import logging
import sys
from typing import Any

import structlog

# Two lines for each bell and one for each tick of beat: Flower shows them better, and a failed
# stage is logged by itself.
QUIET = ("celery.app.trace", "celery.worker.strategy", "celery.beat")


def set_up_logs(level: str) -> None:
    """Let structlog and the standard library's loggers write JSON lines to standard error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
