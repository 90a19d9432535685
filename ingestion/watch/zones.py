"""Notices that drop zones changed: by file events on a local disk, by short looks at the listing everywhere else.

Events are a matter of speed only. A listing is compared now and then all the same, so that a file system without
events (a network share), a lost event or a folder that was put in place of the watched one cost seconds, not files.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion.watch.bell import Bell
from lakehouse.errors import LakehouseError
from lakehouse.storage import Lake

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)

SLOW_LOOK_SECONDS = 15.0
"""How often a listing is compared where events tell of changes: only for what they do not tell."""


class ZoneWatch:
    """Rings a bell when an entry of a watched folder appears or changes. Use as a context manager.

    Args:
        lake: where the folders are.
        folders: keys of the drop zones.
        bell: rung on every change.
        look_seconds: how often listings are compared where there are no events.
        events: use file events where the lake is a local directory and the file system has them.
        on_trouble: told once when the lake cannot be listed, and told None when it can be again.
    """

    def __init__(
        self,
        lake: Lake,
        folders: Sequence[str],
        bell: Bell,
        *,
        look_seconds: float,
        events: bool = True,
        on_trouble: Callable[[LakehouseError | None], None] = lambda _: None,
    ) -> None:
        self._lake = lake
        self._folders = list(folders)
        self._bell = bell
        self._on_trouble = on_trouble
        self._events = _FolderEvents(lake, self._folders, bell) if events and not lake.atomic_arrival else None
        self._look_seconds = look_seconds
        self._ended = threading.Event()
        self._seen: dict[str, frozenset[tuple[str, str]]] = {}
        self._troubled = False
        self._thread = threading.Thread(target=self._look_again, name="zone-watch", daemon=True)

    @property
    def by_events(self) -> bool:
        """Whether every folder is watched by file events now."""
        return self._events is not None and self._events.complete

    def __enter__(self) -> ZoneWatch:
        if self._events is not None:
            self._events.ensure()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._events is not None:
            self._events.stop()

    def _look_again(self) -> None:
        while True:
            try:
                self._look()
                if self._troubled:
                    self._troubled = False
                    self._on_trouble(None)
            except LakehouseError as error:
                if not self._troubled:
                    self._troubled = True
                    self._on_trouble(error)
            except Exception:
                log.exception("Looking at the drop zones failed; it is tried again.")
            pause = max(SLOW_LOOK_SECONDS, self._look_seconds) if self.by_events else self._look_seconds
            if self._ended.wait(pause):
                return

    def _look(self) -> None:
        if self._events is not None:
            self._events.ensure()
        for folder in self._folders:
            present = frozenset((item.key, item.version) for item in self._lake.list(folder))
            if present - self._seen.get(folder, frozenset()):
                self._bell.ring()
            self._seen[folder] = present


class _FolderEvents:
    """File events of local folders through watchdog (inotify), armed again when a folder was replaced."""

    def __init__(self, lake: Lake, folders: Sequence[str], bell: Bell) -> None:
        self._paths = [Path(lake.uri(folder)) for folder in folders]
        self._bell = bell
        self._observer: BaseObserver | None = None
        self._armed: dict[Path, tuple[int, ObservedWatch]] = {}
        self._told = False
        self.complete = False

    def ensure(self) -> None:
        """Watch every folder that is not watched yet, or not the one of this name any more; make missing ones."""
        try:
            for path in self._paths:
                path.mkdir(parents=True, exist_ok=True)
                self._arm(path, path.stat().st_ino)
            self.complete = True
        except OSError as error:
            # No watches left (fs.inotify.max_user_watches), a file system without events: looking does it too.
            self.complete = False
            if not self._told:
                self._told = True
                log.warning("No file events (%s): the drop zones are listed at short intervals instead.", error)

    def stop(self) -> None:
        """End all watches."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def _arm(self, path: Path, inode: int) -> None:
        former = self._armed.get(path)
        if former is not None and former[0] == inode:
            return
        from watchdog.events import FileClosedEvent, FileCreatedEvent, FileMovedEvent, FileSystemEventHandler
        from watchdog.observers import Observer

        bell = self._bell

        class Ring(FileSystemEventHandler):
            def on_any_event(self, event: Any) -> None:
                bell.ring()

        if self._observer is None:
            self._observer = Observer()
            self._observer.start()
        if former is not None:
            self._observer.unschedule(former[1])
        # Written and closed, renamed into place, linked into place: what makes a file complete, not every write.
        kinds = [FileClosedEvent, FileMovedEvent, FileCreatedEvent]
        self._armed[path] = (inode, self._observer.schedule(Ring(), str(path), event_filter=kinds))
        bell.ring()  # what came before the watch was there
