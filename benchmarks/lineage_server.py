"""A lineage server for the length of a block: :mod:`benchmarks.lineage_peer` as a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from benchmarks.places import PYTHON
from benchmarks.processes import ROOT, BenchmarkError


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run it; gone afterwards.

    Yields:
        Its address.

    Raises:
        BenchmarkError: it does not start.
    """
    command = [PYTHON, "-m", "benchmarks.lineage_peer", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            if not port:
                raise BenchmarkError("the lineage server of the benchmark does not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
