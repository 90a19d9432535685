"""``dbt.log``: what dbt says from level info on.

dbt's own file logger makes a line of every message, with secrets looked for, and drops nine in ten of them by level
only then: 7 % of the processor time from a file to its mart.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

MAX_BYTES, KEPT = 10 * 1024 * 1024, 5
"""dbt's own figures."""
LEVELS = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[Callable[[Any], None]]:
    """Keep the log open for the length of the block.

    Args:
        path: of the file; its folder is made.

    Yields:
        A callback for :class:`dbt.cli.main.dbtRunner` that writes a message, called from dbt's threads.
    """
    from dbt_common.events.functions import env_scrubber

    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8", delay=True)
    lines = logging.Formatter(
        "%(asctime)s.%(msecs)03d UTC [%(levelname)-7s] [%(threadName)s]: %(message)s", "%Y-%m-%d %H:%M:%S"
    )
    lines.converter = time.gmtime
    handler.setFormatter(lines)
    logger = logging.Logger("dbt.log", logging.INFO)  # not registered: nobody else's handlers see it
    logger.addHandler(handler)

    def write(event: Any) -> None:
        if (level := LEVELS.get(event.info.level)) is not None:
            logger.log(level, "%s", env_scrubber(event.info.msg))

    try:
        yield write
    finally:
        handler.close()
