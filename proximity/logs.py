"""Where log lines go and how they look."""

import logging
import os
import sys

import structlog


def set_up_logs(*, json: bool = False, quiet: bool = False) -> None:
    """structlog and the libraries' own logging, to standard error; `quiet` keeps warnings and errors only.

    Called first by every command that keeps something, so it also sees to it that files are for their owner.
    """
    os.umask(0o077)  # what a service writes, its broker's log included, is for its owner only
    level = logging.WARNING if quiet else logging.INFO
    renderer = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if json else "%H:%M:%S", utc=json),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # A look that found the last one still at work is made a second later: nothing that anybody has to know.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
