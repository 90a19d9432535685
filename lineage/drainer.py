"""Delivers what is in the outbox: each run's events in order, several runs at once, until the server has answered all.

What belongs here: the loop. What does not: statements (:mod:`lineage.drainer_claims`), sending
(:mod:`lineage.drainer_senders`), how long to wait (:mod:`lineage.drainer_outage`), alerts (:mod:`lineage.backlog`).

One thread asks and writes the database; the others send. An event is resent unless its answer was noted, so what a
killed drainer was at arrives twice at most: the server must take a run's events again, as Marquez does.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import LakehouseError, UnavailableError, first_line
from lineage.drainer_claims import Claims, Pending, Result
from lineage.drainer_outage import OUTAGES, UNPROVEN_FACTOR, Outage, Patience
from lineage.drainer_repair import lately_delivered, put_right
from lineage.drainer_senders import Senders, Sent
from lineage.transport import Answer, Outcome, Transport

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from lakehouse.settings import Settings

log = logging.getLogger(__name__)
CANDIDATES = 500
"""Names of runs looked up at once."""
CROWDED_SECONDS = 0.05
"""Pause before they are looked up again where there are more: all of them may be another drainer's."""
AHEAD = 2
"""Runs claimed for each sender: it sends one while the next is ready."""
CONFIRM_FACTOR = 2
"""So many time limits later an event that got no answer has surely arrived, if it ever does."""
TOLD_FAILURES = 2
"""So often in a row the server must take nothing before it is said; an alert tells of what lasts."""
ONCE_FAILURES = 3
ONCE_SECONDS = 60.0
"""So often in a row the server may be away, or for so long, before :meth:`Drainer.run` with ``once`` gives up."""


@dataclass
class Done:
    """What a drainer has come to.

    Attributes:
        delivered, dead: events.
    """

    delivered: int = 0
    dead: int = 0


class Drainer:
    """Delivers until it is told to stop.

    Args:
        connect: opens a connection to the state database.
        transport: where events go; closed at the end.
        settings: for pauses and limits.
        care: called now and then with the connection and whether something has just changed for people: alerts.
        say: told what a person should read.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        transport: Transport,
        settings: Settings,
        *,
        care: Callable[[Connection, Drainer], None] = lambda connection, drainer: None,
        say: Callable[[str], None] = log.info,
    ) -> None:
        self._connect, self._settings, self._care, self._say = connect, settings, care, say
        self._patience = Patience(settings.lineage_retry_seconds, settings.lineage_retry_max_seconds)
        self.outage = Outage(self._patience)
        self.done = Done()
        self.news = False
        """Something has happened that people should hear of at once; ``care`` sets it back."""
        self.ending = False
        """The connection is about to be closed: what ``care`` puts off would not be done."""
        self._senders = Senders(transport)
        self._stop = threading.Event()
        self._out = 0
        self._unnoted: list[Result] = []
        self._pardoned: list[int] = []
        self._candidates: deque[str] = deque()
        self._held: set[str] = set()
        self._look_at = self._confirm_at = 0.0
        self._told = False
        self._jobs_to_check: set[str] = set()
        self._new = True
        self._once = False

    def request_stop(self, *_: object) -> None:
        """Finish the events in flight, note them, return; usable as a signal handler."""
        self._stop.set()
        self._senders.halt.set()
        self._senders.wake()

    def run(self, *, once: bool = False) -> Done:
        """Deliver.

        Args:
            once: return when nothing is pending any more.

        Raises:
            UnavailableError: with ``once``: the server is away, or the database.
        """
        import psycopg2

        lost, self._once = 0, once
        try:
            while not self._stop.is_set():
                try:
                    with contextlib.closing(self._connect()) as connection:
                        connection.autocommit = True
                        lost = 0
                        self._deliver(connection, once)
                        return self.done
                except (psycopg2.Error, LakehouseError) as error:
                    self._give_back()
                    if once:
                        raise
                    lost += 1
                    pause = self._patience.after(lost)
                    self._say(f"The state database is lost, it is tried again in {pause:.0f} s: {first_line(error)}")
                    self._stop.wait(pause)
            return self.done
        finally:
            self._senders.end()

    # -- one connection ------------------------------------------------------------------------------------

    def _deliver(self, connection: Connection, once: bool) -> None:
        claims = Claims(connection)
        self._note(claims, [])
        if self._new:  # the one before it may have been killed before it asked
            self._jobs_to_check |= lately_delivered(connection)
            self._new = False
        while True:
            self._take_in(claims, self._senders.news(self._nap()))
            self._care(connection, self)
            self._confirm(claims)
            if self._stop.is_set():
                self._senders.halt.set()
                if not self._out:
                    return self._last_words(connection)
                continue
            if self._senders.halt.is_set():
                self._after_a_halt()
                if once and not self._out:
                    self._give_up(connection)
            if not self._senders.halt.is_set():
                self._fill(claims)
            if self._out or self._senders.halt.is_set() or self._candidates:
                continue
            if self._jobs_to_check and put_right(connection, self._jobs_to_check):
                self._look_at = 0.0
            self._jobs_to_check.clear()
            if once and not claims.anything_pending():
                return self._last_words(connection)

    def _last_words(self, connection: Connection) -> None:
        """Have people told what is news now: there is no later."""
        self.ending = True
        self._care(connection, self)

    def _confirm(self, claims: Claims) -> None:
        if time.monotonic() >= self._confirm_at:
            after = CONFIRM_FACTOR * self._settings.lineage_timeout_seconds
            self._confirm_at = time.monotonic() + after
            claims.confirm(after)

    def _nap(self) -> float:
        """Seconds to wait for news at most."""
        if self._senders.halt.is_set() and not self._out:
            return min(max(self.outage.until - time.monotonic(), 0.0), 60.0)
        return min(self._settings.lineage_look_seconds, 60.0)

    def _after_a_halt(self) -> None:
        """Go on when everything was handed back and the pause is over."""
        if not self._out and time.monotonic() >= self.outage.until:
            self._senders.halt.clear()

    def _give_up(self, connection: Connection) -> None:
        last = self.outage.last
        hopeless = last is not None and last.outcome is Outcome.MISCONFIGURED
        long = self.outage.until - time.monotonic() > ONCE_SECONDS
        if last is None or not (hopeless or long or self.outage.failures >= ONCE_FAILURES):
            return
        self._last_words(connection)
        raise UnavailableError(
            f"The lineage server takes no events: {_described(last)}",
            remedy="Nothing is lost: what is pending stays in the outbox. Try again when the server is back.",
        )

    def _fill(self, claims: Claims) -> None:
        """Keep every sender busy; a single one while nobody knows whether the server is back."""
        wanted = (1 if self.outage.lasts else AHEAD * self._senders.size) - self._out
        while wanted > 0:
            if not self._candidates:
                if time.monotonic() < self._look_at:
                    return
                found = claims.candidates(self._held, CANDIDATES)
                self._candidates.extend(found)
                pause = self._settings.lineage_look_seconds if len(found) < CANDIDATES else CROWDED_SECONDS
                self._look_at = time.monotonic() + pause
                if not found:
                    return
            some = [self._candidates.popleft() for _ in range(min(wanted, len(self._candidates)))]
            for lane in claims.claim([key for key in some if key not in self._held]):
                self._held.add(lane.order_key)
                self._out += 1
                wanted -= 1
                self._senders.give(lane)

    def _take_in(self, claims: Claims, news: Sequence[Sent]) -> None:
        """Note what came of events; give the next events of the runs that are through, or let them go."""
        left = [item.lane.order_key for item in news if item.event is None]
        stuck: set[str] = set()
        results = []
        for item in news:
            if item.event is not None and item.answer is not None:
                result = self._judge(item, item.answer)
                results.append(result)
                if result.status == "pending":
                    stuck.add(item.lane.order_key)
        self._out -= len(left)
        self._note(claims, results)
        go_on = [key for key in left if key not in stuck and not self._senders.halt.is_set() and not self.outage.lasts]
        claims.release([key for key in left if key not in go_on])
        self._held.difference_update(left)
        for lane in claims.go_on(go_on):
            self._held.add(lane.order_key)
            self._out += 1
            self._senders.give(lane)

    def _note(self, claims: Claims, results: Sequence[Result]) -> None:
        self._unnoted += results  # until it is written: the connection may be lost
        claims.record(self._unnoted)
        self._unnoted = []
        claims.hasten(self._pardoned)
        self._pardoned = []

    def _give_back(self) -> None:
        """The connection is lost, and every claim with it: let what is in flight finish, keep the answers."""
        self._senders.halt.set()
        while self._out:
            for item in self._senders.news(60.0):
                if item.event is None:
                    self._out -= 1
                elif item.answer is not None:
                    self._unnoted.append(self._judge(item, item.answer))
        self._held.clear()
        self._candidates.clear()
        self._look_at = 0.0

    # -- what came of an event -------------------------------------------------------------------------------

    def _judge(self, item: Sent, answer: Answer) -> Result:
        """What follows from an answer, for this event and for all."""
        event, order_key = item.event, item.lane.order_key
        if event is None:
            raise ValueError("nothing was sent")
        if answer.outcome in OUTAGES:
            proven = answer.outcome is Outcome.UNANSWERED and self.outage.silent_for(event.event_id)
            self._away(answer)
            if proven:
                return self._bury(item, answer, answered=0)
            silence = self.outage.silence(event.event_id)
            delay = self._patience.after(silence) if answer.outcome is Outcome.UNANSWERED else 0.0
            return Result(order_key, event, answer, "pending", 0, delay)
        if answer.outcome is Outcome.FAILED:
            return self._failed(item, event, answer)
        answered = self.outage.count(event.event_id) + 1
        self.outage.forget(event.event_id)
        over = self.outage.answered()
        self._pardoned += self.outage.pardoned()
        if over:
            self.news = True
            if self._told:
                self._say("The lineage server takes events again.")
            self._told = False
        if answer.outcome is Outcome.REFUSED:
            return self._bury(item, answer, answered=answered)
        self.news = self.news or not self.done.delivered  # the server takes events from us: an alert may be over
        self.done.delivered += 1
        self._jobs_to_check.add(event.job)
        return Result(order_key, event, answer, "delivered", answered)

    def _failed(self, item: Sent, event: Pending, answer: Answer) -> Result:
        """A 500: the event is tried again, later each time, while others go on; unless they fare no better."""
        if self.outage.failed(event.event_id):
            self._senders.halt.set()
            self._away(answer)
            # No attempt of its own: however long the server is broken, no event dies of it.
            return Result(item.lane.order_key, event, answer, "pending", 0, self.outage.shun(event.event_id))
        allowed, proven = self._settings.lineage_attempts, self.outage.proven(event.event_id)
        tried = event.attempts + self.outage.uncounted(event.event_id)
        if tried >= (allowed if proven else allowed * UNPROVEN_FACTOR) and (proven or not self._once):
            return self._bury(item, answer, answered=self.outage.count(event.event_id))
        if self._once and not proven and self.outage.uncounted(event.event_id) >= allowed:
            # Nothing else to learn from: who comes later finds it as it is, and perhaps a server that is well.
            self._senders.halt.set()
            self._away(answer)
            return Result(item.lane.order_key, event, answer, "pending", 0)
        delay = self._patience.after(2 * tried - 1)  # 1, 4, 16, 60 seconds
        answered = self.outage.count(event.event_id) if proven else 0
        return Result(item.lane.order_key, event, answer, "pending", answered, delay)

    def _away(self, answer: Answer) -> None:
        began = self.outage.begin(answer, time.monotonic())
        self.news = self.news or began
        if began and self.outage.failures == TOLD_FAILURES:  # a single hiccup is nobody's business
            self._told = True
            self._say(f"The lineage server takes no events ({_described(answer)}); they are kept and tried again.")

    def _bury(self, item: Sent, answer: Answer, *, answered: int) -> Result:
        event = item.event
        if event is None:
            raise ValueError("nothing was sent")
        self.outage.forget(event.event_id)
        self.done.dead += 1
        self._jobs_to_check.add(event.job)  # while it waited nothing was put right
        self.news = True
        self._say(f"Dead letter: lineage event {event.key} of job {event.job or '(none)'}: {_described(answer)}")
        return Result(item.lane.order_key, event, answer, "dead", answered)


def _described(answer: Answer) -> str:
    code = f"HTTP {answer.status}" if answer.status else ""
    return ": ".join(part for part in (code, answer.error) if part) or answer.outcome.value
