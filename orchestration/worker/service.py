"""The worker's main loop: wait for the bell, look at the drop zones, execute what they ask for; survive trouble.

What belongs here: the order of things and what happens when one of them fails. What does not: how a file is noticed
(:mod:`ingestion.watch`), what a run does (:mod:`orchestration.worker.execute`).
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from dagster import AssetKey, DagsterInstance

from ingestion.declarations import DropZoneSource
from ingestion.watch.bell import Bell
from lakehouse import postgres
from lakehouse.code_version import code_version
from lakehouse.errors import first_line
from lakehouse.failures import meaning
from lakehouse.settings import Settings
from orchestration.arrivals import Arrival, arrival
from orchestration.worker.ending import LOST, fail_own_runs
from orchestration.worker.execute import execute
from orchestration.worker.heart import Heart, give_back_memory, resident_bytes

log = logging.getLogger(__name__)

LOOK_SECONDS = 30.0
"""The drop zones are looked at this often whatever the bell says: a pause after a failure may have ended."""
TURN_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0


class Worker:
    """Executes arrivals until told to stop.

    Args:
        settings: the platform's settings.
        instance: with connections kept open.
        declarations: the sources.
        assets: source name → what a run builds.
        bell: rung when something arrived.
        heart: told what goes on.
        say: told what a person may want to know.
        loaded: the code this process has loaded, see :func:`code_version`.

    Attributes:
        on_end: called when a run has ended; returns at once.
    """

    def __init__(
        self,
        settings: Settings,
        instance: DagsterInstance,
        declarations: Sequence[DropZoneSource],
        assets: dict[str, list[AssetKey]],
        bell: Bell,
        heart: Heart,
        say: Callable[[str], None],
        loaded: int,
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._declarations = declarations
        self._assets = assets
        self._bell = bell
        self._heart = heart
        self._say = say
        self._loaded = loaded
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._settles_at: float | None = None
        self._told: dict[str, str] = {}
        self.on_end: Callable[[], None] = lambda: None

    def stop(self, *, within: float) -> bool:
        """Stop after the present run; call it from another thread than :meth:`work`.

        Returns:
            Whether the main loop has ended within so many seconds.
        """
        self._stopping.set()
        self._bell.wake()
        return self._ended.wait(within)

    def work(self) -> str | None:
        """Work until stopped, or until there is a reason to start anew.

        Returns:
            The reason to start anew; None when stopped.
        """
        try:
            return self._loop()
        finally:
            self._ended.set()

    def _loop(self) -> str | None:
        looked, pause, broken = 0.0, FIRST_PAUSE, False
        self._heart.say(state="idle", doing="")
        due = True
        while not self._stopping.is_set():
            self._heart.turn()
            if due:
                looked = time.monotonic()
                try:
                    if broken:
                        # Its own process lives, so the reaper would leave the run that was broken off alone.
                        fail_own_runs(self._instance, self._settings, LOST)
                        broken = False
                    while self._round() and not self._stopping.is_set() and not self._reason_to_restart():
                        pass
                except Exception as error:
                    broken = True
                    self._in_trouble(error, pause)
                    if not self._stopping.wait(pause):
                        self._mend()
                    pause = min(pause * 2, LONGEST_PAUSE)
                    continue
                pause = FIRST_PAUSE
                self._heart.say(state="idle", doing="")
            if self._stopping.is_set():
                break
            if reason := self._reason_to_restart():
                return reason
            until = [looked + LOOK_SECONDS, time.monotonic() + TURN_SECONDS]
            until += [self._settles_at] if self._settles_at is not None else []
            rang = self._bell.wait(max(min(until) - time.monotonic(), 0.0))
            now = time.monotonic()
            settled = self._settles_at is not None and now >= self._settles_at
            due = rang or settled or now >= looked + LOOK_SECONDS
        return None

    def _round(self) -> bool:
        """Look at every drop zone and execute what it asks for; whether there was anything."""
        ran = False
        self._settles_at = None
        for declaration in self._declarations:
            if self._stopping.is_set():
                break
            found = arrival(self._instance, declaration, self._settings)
            self._note_waiting(found, declaration.settle_seconds)
            if found.tags:
                self._execute(found)
                ran = True
            else:
                self._tell_once(found)
        return ran

    def _execute(self, found: Arrival) -> None:
        files = len(found.pending)
        what = f"{found.source}: {files} file{'s' if files > 1 else ''}" if files else f"{found.source}: what was left"
        self._heart.say(state="running", doing=what)
        began = time.monotonic()
        done = execute(self._instance, self._settings, found, self._assets[found.source])
        self.on_end()
        seconds = time.monotonic() - began
        beat = self._heart.beat
        self._heart.say(
            runs=beat.runs + 1,
            failed_runs=beat.failed_runs + (not done.success),
            files=beat.files + files,
            run_id=done.run_id,
        )
        verdict = f"in the mart {done.slowest:.1f} s after arrival" if done.success else "failed"
        self._say(f"{what}, run {done.run_id[:8]}: {verdict} ({seconds:.1f} s).")
        give_back_memory()

    def _note_waiting(self, found: Arrival, settle: float) -> None:
        """When the next file that is waited for will have settled."""
        now = datetime.now(UTC)
        for item in found.found.waiting if found.found is not None else []:
            left = settle - (now - item.item.modified).total_seconds()
            if 0 < left <= settle:
                at = time.monotonic() + left + 0.05
                self._settles_at = at if self._settles_at is None else min(self._settles_at, at)

    def _tell_once(self, found: Arrival) -> None:
        reason = found.reason if "failed on these files" in found.reason else ""
        if reason and self._told.get(found.source) != reason:
            self._say(reason)
        self._told[found.source] = reason

    def _in_trouble(self, error: Exception, pause: float) -> None:
        text = first_line(error)
        if self._heart.beat.state != "troubled":
            self._say(f"Cannot work now, trying again until it is possible: {text}")
            # A server that is away needs no stack trace; what nobody has foreseen does.
            log.log(logging.INFO if meaning(error) else logging.ERROR, "Trouble", exc_info=error)
        self._heart.say(state="troubled", doing=text[:500])

    def _mend(self) -> None:
        """Have an embedded Postgres that died running again; with external servers there is only waiting."""
        try:
            with postgres.ready(self._settings):
                pass
        except Exception as error:
            log.debug("Still in trouble: %s", error)

    def _reason_to_restart(self) -> str | None:
        if code_version() != self._loaded:
            return "code, models or declarations have changed"
        limit = self._settings.worker_memory_limit_mb
        if resident_bytes() > limit * 10**6:
            return f"its memory has grown beyond {limit} MB"
        return None


def start_anew() -> None:
    """Replace this process's program by a fresh start of the same command: same process id, same supervisor."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command, no shell wanted
