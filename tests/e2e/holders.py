"""A process that holds the warehouse, so that runs wait in the middle of a step."""

from __future__ import annotations

import subprocess
import sys

from platforms import Platform

HOLD_LOCK = """
import sys, time
from pathlib import Path
from lakehouse.duckdb.lock import exclusive
with exclusive(Path(sys.argv[1]), "somebody's backfill", timeout=5):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(platform: Platform, seconds: float) -> subprocess.Popen[str]:
    """A process that holds the warehouse for so many seconds."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(platform.settings.warehouse), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "held\n"
    return child
