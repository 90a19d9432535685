"""What it costs to make the events of a run, and to read a model's columns from its SQL.

Measured: processor time of this process for all events of a run of all assets, with checks, volumes, SQL and column
lineage of the real models, from the facts to bodies that are checked and ready to be put; per event. Apart from it, as
often as the declarations change and no oftener: the catalog from the manifest, and the columns of each model from its
compiled SQL. Imports are done before. Excluded: reading Dagster's event log, the outbox.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.options import Options
from benchmarks.places import Place, a_place
from lakehouse.dbt.manifest import ensure_manifest
from lineage.catalog import Catalog
from lineage.columns import model_columns
from lineage.declared import catalog
from lineage.events import run_events
from lineage.facts import AssetRun, Check, RunFacts, Volume

REPEAT = 50
LIMIT_MS = 5.0
CHECKS = 7
SQL = "select asset_key, compiled_sql from data_platform.lineage_models"


def measure(options: Options) -> Outcome:
    """One small real run for the SQL that dbt compiles; the rest is timed in this process."""
    with a_place() as place:
        options.say("a run of two batches, for the SQL of its models")
        place.sample(2, 0.1)
        place.run()
        sql = _compiled(place)
        manifest = json.loads((ensure_manifest(place.settings) / "manifest.json").read_text(encoding="utf-8"))
        declared = catalog(manifest, place.settings)
        columns = {asset: model_columns(text, declared.jobs[asset], declared) for asset, text in sql.items()}
        known = catalog(manifest, place.settings, columns, sql)
        facts = _facts(known)
        events = run_events(facts, known)  # warm
        repeat = options.repeat or REPEAT
        options.say(f"{len(events)} events, {repeat} times")
        making = _timed(lambda: run_events(facts, known), repeat)
        declaring = _timed(lambda: catalog(manifest, place.settings), repeat)
        reading = {
            asset: _timed(lambda text=text, asset=asset: model_columns(text, declared.jobs[asset], declared), repeat)
            for asset, text in sql.items()
        }
    per_model = [sum(samples) / len(reading) for samples in zip(*reading.values(), strict=True)]
    sizes = [len(json.dumps(event.body)) for event in events]
    return Outcome(
        [
            Figure("lineage: an event made", "ms", [t / len(events) for t in making], limit=Limit("ours", LIMIT_MS)),
            Figure("lineage: all events of a run", "ms", making),
            Figure("lineage: a model's columns from its SQL", "ms", per_model),
            Figure("lineage: the catalog from the manifest", "ms", declaring),
        ],
        {
            "events": len(events),
            "bytes_of_an_event": sum(sizes) // len(sizes),
            "largest_event_bytes": max(sizes),
            "column_edges": sum(len(sources) for made in columns.values() for sources in made.values()),
            "ms_by_model": {asset: round(sorted(samples)[len(samples) // 2], 2) for asset, samples in reading.items()},
        },
    )


def _timed(work: Callable[[], Any], repeat: int) -> list[float]:
    """Processor time of each round in milliseconds."""
    samples = []
    for _ in range(repeat):
        began = time.process_time()
        work()
        samples.append((time.process_time() - began) * 1_000)
    return samples


def _compiled(place: Place) -> dict[str, str]:
    from lakehouse.postgres.connect import connect, state_url

    with (
        contextlib.closing(connect(state_url(place.settings), what="the benchmark's state")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(SQL)
        return dict(cursor.fetchall())


def _facts(known: Catalog) -> RunFacts:
    began = datetime.now(UTC)
    checks = tuple(Check(f"check_{number}", True, "error", message="") for number in range(CHECKS))
    assets = tuple(
        AssetRun(
            job.name,
            f"step_{job.layer}",
            0,
            "COMPLETE",
            began,
            began + timedelta(seconds=1),
            output=Volume(1_000, 100_000, 10),
            inputs={name: Volume(1_000, 100_000, 10) for name in known.jobs},
            checks=checks,
            sql=job.sql,
        )
        for job in known.jobs.values()
        if job.asset_key
    )
    end = began + timedelta(seconds=30)
    return RunFacts(str(uuid4()), "nightly_pipeline", "schedule", "COMPLETE", began, end, assets, began, end)
