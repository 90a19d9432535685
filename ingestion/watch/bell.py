"""A bell that whoever notices something rings, and one listener waits for; a burst of rings is answered once."""

from __future__ import annotations

import threading
import time

QUIET_SECONDS = 0.05
BURST_SECONDS = 1.0


class Bell:
    """Joins the rings of a burst.

    Args:
        quiet: a burst has ended when nothing rang for so many seconds.
        longest: a burst is answered after so many seconds though it goes on.
    """

    def __init__(self, quiet: float = QUIET_SECONDS, longest: float = BURST_SECONDS) -> None:
        self._quiet = quiet
        self._longest = longest
        self._first: float | None = None
        self._last = 0.0
        self._urgent = False
        self._changed = threading.Condition()

    def ring(self) -> None:
        """Something arrived."""
        with self._changed:
            self._last = time.monotonic()
            if self._first is None:
                self._first = self._last
                self._changed.notify_all()

    def wake(self) -> None:
        """End the present :meth:`wait` at once, or the next one: there is a reason to stop waiting."""
        with self._changed:
            self._urgent = True
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait for a ring and for the end of its burst, at most ``timeout`` seconds for the ring.

        Returns:
            Whether it rang; a ring is answered once.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._urgent:
                now = time.monotonic()
                if self._first is None:
                    if now >= deadline:
                        return False
                    self._changed.wait(deadline - now)
                    continue
                answer_at = min(self._last + self._quiet, self._first + self._longest)
                if now >= answer_at:
                    break
                self._changed.wait(answer_at - now)
            rang, self._first, self._urgent = self._first is not None, None, False
            return rang
