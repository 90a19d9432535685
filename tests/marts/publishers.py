"""A process that publishes on request, so that it can be killed in the middle."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mart_project import MartProject


class Publisher:
    """Publishes in a child process that has dbt imported and the project parsed already; made anew after a kill."""

    def __init__(self, project: MartProject) -> None:
        self.project = project
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(self.project, other, self.pipe), daemon=True)
        self.process.start()
        other.close()

    def publish(self, **options: Any) -> str:
        """Publish and wait; dbt's message, or ``FAILED: …``."""
        self.begin(**options)
        return self.outcome()

    def begin(self, **options: Any) -> None:
        """Start publishing."""
        self.pipe.send(options)

    def outcome(self) -> str:
        """How what was begun came out.

        DuckDB's Postgres extension may abort the whole process where its connection is cut: its ROLLBACK throws while
        the connection is closed. That is a failure like others, told by the process that is gone.
        """
        try:
            return str(self.pipe.recv())
        except EOFError:
            self.process.join()
            said = f"FAILED: the process ended with code {self.process.exitcode}"
            self.pipe.close()
            self._start()
            return said

    def kill(self) -> None:
        """``kill -9``, and a new process for what comes next."""
        os.kill(self.process.pid or 0, signal.SIGKILL)
        self.process.join()
        self.pipe.close()
        self._start()

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.process.join(30)


def _serve(project: MartProject, pipe: Any, of_parent: Any) -> None:
    of_parent.close()  # else its end would not be seen when the parent dies
    while (options := pipe.recv()) is not None:
        try:
            pipe.send(project.publish(**options))
        except AssertionError as error:
            pipe.send(f"FAILED: {error}")
