"""From a bare process to a working one and back: what ``lakehouse worker`` calls."""

import contextlib
import fcntl
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from dagster import AssetsDefinition, BetaWarning, DagsterInstance

from ingestion.declarations import load_all
from ingestion.watch.bell import Bell
from ingestion.watch.zones import ZoneWatch
from lakehouse import postgres
from lakehouse.code_version import code_version
from lakehouse.errors import BusyError
from lakehouse.locks import open_lock, try_lock
from lakehouse.settings import Settings
from lakehouse.storage import open_lake
from orchestration.arrivals import downstream
from orchestration.instance import prepare_home
from orchestration.lineage.background import mapping
from orchestration.run import keep_connections, reaping
from orchestration.worker.ending import STOPPED, fail_own_runs, leave_at_once
from orchestration.worker.heart import Heart
from orchestration.worker.service import Worker, start_anew
from orchestration.worker.stopping import on_stop
from orchestration.worker.warm import warm_up

log = logging.getLogger(__name__)


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Be the worker of this data folder until SIGTERM or SIGINT.

    Args:
        settings: the platform's settings.
        say: told what a person may want to know.

    Raises:
        BusyError: this data folder has a worker already.
        LakehouseError: state database or declarations are not usable at the start.
    """
    loaded = code_version()
    reason = None
    with _only_one(settings), postgres.ready(settings), Heart(settings) as heart:
        prepare_home(settings)
        warnings.filterwarnings("ignore", category=BetaWarning)
        logging.getLogger("dagster").addHandler(logging.NullHandler())
        from orchestration.definitions import defs

        declarations = list(load_all().values())
        assets = downstream(declarations, [item for item in defs.assets or [] if isinstance(item, AssetsDefinition)])
        bell = Bell()
        with DagsterInstance.get() as instance:
            keep_connections(instance)
            warm_up(settings)
            zones = ZoneWatch(
                open_lake(settings),
                [item.path for item in declarations],
                bell,
                look_seconds=settings.worker_look_seconds,
                events=settings.worker_events,
            )

            worker = Worker(settings, instance, declarations, assets, bell, heart, say, loaded)

            def stop() -> None:
                if not worker.stop(within=settings.worker_stop_seconds):
                    fail_own_runs(instance, settings, STOPPED)
                    heart.say_goodbye()
                    say("Stopped in the middle of a run, which is marked failed.")
                    leave_at_once(settings)

            with (
                on_stop(stop),
                reaping(instance, settings, on_dead=bell.ring),
                mapping(instance, settings) as told,
                zones,
            ):
                worker.on_end = told
                how = "by file events" if zones.by_events else f"every {settings.worker_look_seconds:g} s"
                say(f"Watching {', '.join(item.path for item in declarations)} {how}.")
                # Not in the main thread: there Dagster would take SIGTERM itself and break off a run at once.
                with ThreadPoolExecutor(1, thread_name_prefix="worker") as thread:
                    reason = thread.submit(worker.work).result()
    if reason is not None:
        say(f"Starting anew: {reason}.")
        start_anew()
    say("Stopped.")


@contextlib.contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    path = settings.data_path / "worker.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = open_lock(path)
    try:
        if not try_lock(handle, fcntl.LOCK_EX):
            who = path.read_text(encoding="ascii").strip() or "unknown"
            raise BusyError(
                f"This data folder has a worker already (process {who}).",
                remedy=f"One is enough: it takes all drop zones. End it with `kill {who}` to replace it.",
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
