"""What a platform recorded of its runs, read as the mapper reads it and as the outbox holds it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from dagster import DagsterInstance
from platforms import Platform

from lakehouse.postgres import ready
from lakehouse.postgres.connect import connect, state_url
from lineage import outbox
from lineage.facts import AssetRun, RunFacts
from lineage.outbox import StoredEvent
from orchestration.instance import prepare_home
from orchestration.lineage.records import run_facts

PAGE = "http://page"
ORDER = (
    "raw_bioreactor_data",
    "stg_bioreactor__files",
    "stg_bioreactor",
    "int_bioreactor_downsample_5m",
    "dim_batch",
    "fact_bioreactor_batch_stats",
    "mart_bioreactor_overview",
)
"""Every asset, each after those it reads."""
HOLD = """
import sys, time
from pathlib import Path
from lakehouse.duckdb.lock import exclusive
with exclusive(Path(sys.argv[1]), "a test", timeout=60):
    print("held", flush=True)
    time.sleep(300)
"""


@contextlib.contextmanager
def opened(platform: Platform) -> Iterator[DagsterInstance]:
    """The platform's Dagster instance, with Postgres running."""
    with ready(platform.settings):
        prepare_home(platform.settings)
        with DagsterInstance.get() as instance:
            yield instance


def facts_of(platform: Platform, run_id: str) -> RunFacts:
    """What the event log says of a run."""
    with opened(platform) as instance:
        record = instance.get_run_record_by_id(run_id)
        assert record is not None
        return run_facts(instance, record, PAGE, ORDER)


def newest_run(platform: Platform) -> str:
    """Id of the run that was created last."""
    return platform.state("select run_id from runs order by id desc limit 1")[0][0]


def ends(facts: RunFacts) -> dict[str, str]:
    """Asset → how its last attempt ended."""
    return {asset.asset_key: asset.end for asset in facts.assets}


def by_key(facts: RunFacts) -> dict[str, AssetRun]:
    """Asset → its last attempt."""
    return {asset.asset_key: asset for asset in facts.assets}


def events_of(platform: Platform, run_id: str) -> list[StoredEvent]:
    """A run's events in the outbox, in order."""
    with ready(platform.settings):
        connection = connect(state_url(platform.settings), what="state database")
        try:
            return list(outbox.events(connection, order_keys=[run_id], kinds=["run"]))
        finally:
            connection.close()


def told(platform: Platform, run_id: str) -> list[tuple[str, str]]:
    """Job and type of each of a run's events, in order; jobs by their asset's key."""
    return [(event.job.removeprefix("lakehouse."), event.type) for event in events_of(platform, run_id)]


@contextlib.contextmanager
def held(platform: Platform) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the warehouse until the block ends or it is killed."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(platform.settings.warehouse)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.wait()
