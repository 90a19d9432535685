"""Temporary folders end with their process, also when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

MAKE = """
import sys, time
from pathlib import Path
from lakehouse.scratch import process_folder
folder = process_folder(Path(sys.argv[1]))
(folder / "big").write_text("x")
print(folder.name, flush=True)
time.sleep(float(sys.argv[2]))
"""


def _start(parent, seconds: float) -> tuple[subprocess.Popen[str], str]:
    child = subprocess.Popen([sys.executable, "-c", MAKE, str(parent), str(seconds)], stdout=subprocess.PIPE, text=True)
    return child, child.stdout.readline().strip()


def _names(parent) -> set[str]:
    return {path.name for path in parent.iterdir() if not path.name.startswith(".")}


def test_a_process_that_ends_takes_its_folder_along(tmp_path):
    child, name = _start(tmp_path, 0)
    assert name.startswith(f"{child.pid}-")
    assert child.wait(20) == 0
    assert _names(tmp_path) == set()


def test_the_folder_of_a_killed_process_is_removed_by_the_next_one_and_a_living_ones_is_not(tmp_path):
    killed, _ = _start(tmp_path, 60)
    living, kept = _start(tmp_path, 60)
    (tmp_path / "3887").mkdir()  # as former versions named them: by the process id alone
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    last, name = _start(tmp_path, 60)
    try:
        assert _names(tmp_path) == {kept, name}
        assert (tmp_path / kept / "big").read_text() == "x"
    finally:
        for child in (living, last):
            child.terminate()
            child.wait()
