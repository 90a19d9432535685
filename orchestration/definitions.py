"""Assembles the code location; everything it names is defined elsewhere."""

import json
import warnings
from pathlib import Path

from dagster import BetaWarning, Definitions, in_process_executor

from ingestion.declarations import load_all
from lakehouse.dbt.manifest import DBT_PROJECT, ensure_manifest
from lakehouse.settings import PROJECT_ROOT, load_settings
from orchestration.arrivals import downstream
from orchestration.assets.dbt_layers import dbt_layers
from orchestration.assets.raw import raw_asset
from orchestration.heartbeat import HEARTBEAT, heartbeat
from orchestration.jobs import JOBS
from orchestration.schedules import schedules
from orchestration.sensors import file_sensor, lineage_sensor, lineage_sync_sensor, upkeep_sensor

warnings.filterwarnings("ignore", category=BetaWarning)  # of code references; they would fill the server's log


def _definitions() -> Definitions:
    settings = load_settings()
    declarations = list(load_all().values())
    manifest = json.loads((ensure_manifest(settings) / "manifest.json").read_text(encoding="utf-8"))
    raw = [raw_asset(item, PROJECT_ROOT / item.file) for item in declarations]
    layers = dbt_layers(manifest, Path(DBT_PROJECT), {item.source: item.asset for item in declarations})
    assets = [*raw, *layers]
    keys = [key for definition in assets for key in definition.keys]
    return Definitions(
        assets=assets,
        jobs=JOBS,
        resources={HEARTBEAT: heartbeat},
        executor=in_process_executor,  # of what is materialized from a page; see jobs.py
        schedules=schedules(settings),
        sensors=[
            file_sensor(declarations, downstream(declarations, assets), settings),
            upkeep_sensor(keys, settings),
            lineage_sensor(keys, settings),
            lineage_sync_sensor(keys, settings),
        ],
    )


defs = _definitions()
