"""When to leave the lineage server alone, and when an event is at fault rather than the server.

What belongs here: the decisions, without clock, network or database of their own. What does not: acting on them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from lineage.transport import Answer, Outcome

SILENT_ATTEMPTS = 20
"""An event that gets no answer this often, while others are answered in between, is a dead letter."""
BROKEN_EVENTS = 5
"""So many different events answered with 500 and none with anything better: the server is broken, not the events."""
UNPROVEN_FACTOR = 3
"""An event is given so many times the attempts by one drainer while nothing else was taken since it first failed."""
LONGEST_SHUNNED_SECONDS = 3600.0
"""An event that was tried while the server was broken waits so long at most before it is tried again meanwhile."""
LONGEST_ASKED_SECONDS = 3600.0
"""A Retry-After beyond this is taken for a mistake."""
OUTAGES = {Outcome.AWAY, Outcome.UNANSWERED, Outcome.MISCONFIGURED}


@dataclass
class Patience:
    """How long to wait before the next attempt.

    Attributes:
        first: seconds after the first failure.
        longest: seconds at most.
        dice: for jitter.
    """

    first: float
    longest: float
    dice: random.Random = field(default_factory=random.Random)

    def after(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row: between half and all of a wait that doubles each time."""
        whole = min(self.first * 2.0 ** min(failures - 1, 30), self.longest)
        return whole * self.dice.uniform(0.5, 1.0)


class Outage:
    """Whether the server is being left alone.

    Args:
        patience: how long for.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._answers = 0
        self._silent: dict[int, tuple[int, int]] = {}
        self._failed: dict[int, int] = {}
        self._uncounted: dict[int, int] = {}
        self._failing: set[int] = set()
        self._shunned: dict[int, int] = {}
        self.failures = 0
        self.until = 0.0
        self.last: Answer | None = None

    @property
    def lasts(self) -> bool:
        """Whether the last thing heard was that the server takes no events; one attempt at a time then."""
        return self.last is not None

    def begin(self, answer: Answer, now: float) -> bool:
        """The server took no event; return whether that is news: simultaneous failures count once."""
        if now < self.until:
            return False
        self.last = answer
        self.failures += 1
        asked = min(answer.wait, LONGEST_ASKED_SECONDS)
        self.until = now + max(self._patience.after(self.failures), asked)
        return True

    def answered(self) -> bool:
        """The server took or refused an event; return whether that ends an outage."""
        self._answers += 1
        self._failing.clear()
        over = self.last is not None
        self.last = None
        self.failures = 0
        return over

    def silent_for(self, event_id: int) -> bool:
        """No answer came for this event; return whether it is proven that the event is why."""
        count, answers = self._silent.get(event_id, (0, -1))
        if self._answers > answers:  # others were answered since the last attempt
            count += 1
        self._silent[event_id] = (count, self._answers)
        return count >= SILENT_ATTEMPTS

    def silence(self, event_id: int) -> int:
        """How often no answer came for this event."""
        return self._silent.get(event_id, (0, 0))[0]

    def failed(self, event_id: int) -> bool:
        """The server answered this event with 500; return whether it does so with everything."""
        self._failed.setdefault(event_id, self._answers)
        self._uncounted[event_id] = self._uncounted.get(event_id, 0) + 1
        self._failing.add(event_id)
        broken = len(self._failing) >= BROKEN_EVENTS
        if broken:
            self._uncounted.clear()  # it was the server each time
        return broken

    def shun(self, event_id: int) -> float:
        """Seconds before this event is tried again while the server is broken.

        Beyond the server's pause, so that the next attempt is at another event, and twice as long each time: however
        many events at the head of their runs are poison, one that is not gets its turn.
        """
        times = self._shunned[event_id] = self._shunned.get(event_id, 0) + 1
        shortest = 2 * self._patience.longest
        return min(shortest * 2.0 ** min(times - 1, 30), max(shortest, LONGEST_SHUNNED_SECONDS))

    def pardoned(self) -> list[int]:
        """Events that need not wait any longer, once the server has taken or refused one; each is named once."""
        found = list(self._shunned)
        self._shunned.clear()
        return found

    def proven(self, event_id: int) -> bool:
        """Whether an event that is answered with 500 is at fault: others were taken since it first was.

        Where none was, perhaps the server is: a lineage server whose database is down answers 500 to everything.
        """
        return self._answers > self._failed.get(event_id, self._answers)

    def uncounted(self, event_id: int) -> int:
        """Attempts at this event that were answered with 500 and are not noted with it.

        They are noted once something is proven: what short-lived drainers, one after the other, note during one outage
        would add up to the event's fault.
        """
        return self._uncounted.get(event_id, 0)

    def count(self, event_id: int) -> int:
        """The same, which are being noted now."""
        return self._uncounted.pop(event_id, 0)

    def forget(self, event_id: int) -> None:
        """The event is done with."""
        self._silent.pop(event_id, None)
        self._failed.pop(event_id, None)
        self._uncounted.pop(event_id, None)
        self._failing.discard(event_id)
        self._shunned.pop(event_id, None)
