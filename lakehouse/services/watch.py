"""Asks each service again and again whether it works, in threads of its own, so that the supervisor never waits.

What belongs here: when to ask, and since when a service has not answered. What does not: how to ask
(:mod:`lakehouse.services.probes`) and what follows (:mod:`lakehouse.services.supervisor`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lakehouse.errors import LakehouseError, UnavailableError

Probe = Callable[[], None]
"""Raises a :class:`LakehouseError` when the service does not work."""

STARTING_SECONDS = 0.1
EVERY_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """What a service's last probe gave.

    Attributes:
        service: name.
        generation: which start of the service was asked.
        error: why it does not work; None when it does.
    """

    service: str
    generation: int
    error: LakehouseError | None


class Watch:
    """One thread that asks one start of one service until told to end.

    Args:
        service: name, for the answers.
        generation: number of its start, for the answers.
        probe: the question.
        tell: given each answer, in the thread.
        every: seconds between two questions once it has worked.
    """

    def __init__(
        self, service: str, generation: int, probe: Probe, tell: Callable[[Answer], None], every: float = EVERY_SECONDS
    ) -> None:
        self._service, self._generation, self._probe, self._tell, self._every = service, generation, probe, tell, every
        self._ended = threading.Event()
        threading.Thread(target=self._work, name=f"watch {service}", daemon=True).start()

    def end(self) -> None:
        """Ask no more; an answer under way may still come."""
        self._ended.set()

    def _work(self) -> None:
        pause = STARTING_SECONDS
        while not self._ended.wait(pause):
            began = time.monotonic()
            error: LakehouseError | None = None
            try:
                self._probe()
                pause = self._every
            except Exception as failure:  # whatever it is: without this thread nobody would ask any more
                if isinstance(failure, LakehouseError):
                    error = failure
                else:
                    error = UnavailableError(f"It could not be asked: {failure!r}")
                pause = max(STARTING_SECONDS, min(time.monotonic() - began, 1.0)) if pause < 1 else min(pause, 5.0)
            if not self._ended.is_set():
                self._tell(Answer(self._service, self._generation, error))
