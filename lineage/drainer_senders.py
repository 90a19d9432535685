"""The threads that send: each takes a run's next events and sends them one after the other.

What belongs here: sending in order, and stopping at once when the server takes nothing. What does not: which runs, and
what is noted about them (:mod:`lineage.drainer`). Nothing here touches the database.
"""

from __future__ import annotations

import logging
import queue
import threading
import traceback
from dataclasses import dataclass

from lineage.drainer_claims import Lane, Pending
from lineage.drainer_outage import OUTAGES
from lineage.transport import Answer, Outcome, Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sent:
    """News from a sender.

    Attributes:
        lane: the run.
        event, answer: what came of an event; both None when the sender has left the run.
    """

    lane: Lane
    event: Pending | None = None
    answer: Answer | None = None


class Senders:
    """As many threads as the transport bears.

    Args:
        transport: takes the events.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._todo: queue.SimpleQueue[Lane | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Sent | None] = queue.SimpleQueue()
        self.halt = threading.Event()
        """While it is set no further event is sent; what was given is handed back."""
        self._threads = [
            threading.Thread(target=self._work, name=f"sender {number}", daemon=True)
            for number in range(transport.clients)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def size(self) -> int:
        """How many runs are delivered at the same time."""
        return len(self._threads)

    def give(self, lane: Lane) -> None:
        """Have a run's events sent."""
        self._todo.put(lane)

    def news(self, wait: float) -> list[Sent]:
        """What has come in, waiting for the first at most this many seconds; empty after :meth:`wake` too."""
        found: list[Sent] = []
        try:
            item = self._done.get(timeout=max(wait, 0.0))
            while True:
                if item is not None:
                    found.append(item)
                item = self._done.get_nowait()
        except queue.Empty:
            return found

    def wake(self) -> None:
        """Have :meth:`news` return; usable in a signal handler."""
        self._done.put(None)

    def end(self) -> None:
        """End the threads; each after the event it is sending."""
        self.halt.set()
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()
        self._transport.close()

    def _work(self) -> None:
        while (lane := self._todo.get()) is not None:
            for event in lane.events:
                if self.halt.is_set():
                    break
                answer = self._send(event)
                if answer.outcome in OUTAGES:
                    self.halt.set()
                self._done.put(Sent(lane, event, answer))
                if answer.outcome not in {Outcome.DELIVERED, Outcome.REFUSED}:
                    break
            self._done.put(Sent(lane))

    def _send(self, event: Pending) -> Answer:
        try:
            return self._transport.send(event.body)
        except Exception as error:  # an event must not end the thread, and is not lost
            # Not its text: a client may put a header into it, and with it a key.
            kind = type(error).__name__
            at = traceback.extract_tb(error.__traceback__)[-1]
            log.error("Sending the lineage event %s broke: %s in %s, line %s", event.key, kind, at.filename, at.lineno)
            return Answer(Outcome.FAILED, error=f"{kind} while sending")
