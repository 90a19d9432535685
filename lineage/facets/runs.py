"""Facets of runs: parent, time, engine, error, and Dagster's side.

What belongs here: run facets. What does not: facets of jobs and datasets.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from openlineage.client.facet_v2 import (
    RunFacet,
    error_message_run,
    nominal_time_run,
    parent_run,
    processing_engine_run,
)

from lineage.catalog import Catalog, Job
from lineage.facets.custom import LakehouseDagsterRunFacet
from lineage.facts import AssetRun, RunFacts
from lineage.naming import PRODUCER

METRICS_FACT = "column_metrics"
"""Fact of an asset that has a facet of its own: column → counted values."""
ENGINES = {"dagster": "Dagster", "dbt-core": "dbt", "dbt-duckdb": "dbt-duckdb", "duckdb": "DuckDB"}
"""Packages whose versions are told → the engine's name."""


def stamp(moment: datetime) -> str:
    """A time as every consumer reads it: ISO 8601 in UTC with milliseconds and ``Z``.

    Raises:
        ValueError: it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a time without a time zone: {moment}")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parent_run_facets(facts: RunFacts, catalog: Catalog, unknown: list[str]) -> dict[str, RunFacet]:
    """Facets of the parent's run.

    Args:
        facts: the run.
        catalog: what the events were made with.
        unknown: assets of the run that the catalog does not know.
    """
    return {
        **_common(facts, "dagster"),
        "lakehouse_dagster": LakehouseDagsterRunFacet(
            **_dagster(facts, catalog), unknown_assets=unknown or None, producer=PRODUCER
        ),
    }


def asset_run_facets(asset: AssetRun, job: Job, facts: RunFacts, catalog: Catalog) -> dict[str, RunFacet]:
    """Facets of an asset's run; the error is apart (:func:`error`), because a START must not carry it."""
    dagster = LakehouseDagsterRunFacet(
        **_dagster(facts, catalog),
        step=asset.step_key,
        attempt=asset.attempt,
        partition=asset.partition,
        up_to_date=asset.up_to_date,
        facts={name: value for name, value in asset.facts.items() if name != METRICS_FACT},
        producer=PRODUCER,
    )
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=facts.run_id, facets=None),
        job=parent_run.Job(namespace=catalog.job_namespace, name=catalog.parent_job, facets=None),
        producer=PRODUCER,
    )
    engine = "duckdb" if job.language == "SQL" else "dagster"
    return {**_common(facts, engine), "parent": parent, "lakehouse_dagster": dagster}


def error(message: str, stack: str | None, language: str) -> dict[str, RunFacet]:
    """The facet of a run that did not complete."""
    return {
        "errorMessage": error_message_run.ErrorMessageRunFacet(
            message=message, programmingLanguage=language, stackTrace=stack, producer=PRODUCER
        )
    }


@functools.cache
def versions() -> Mapping[str, str]:
    """Versions of the engines that are installed."""
    found = {}
    for package, name in ENGINES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def _adapter_version() -> str:
    # Asked of the package's metadata file, a millisecond each time.
    return metadata.version("openlineage-python")


def _common(facts: RunFacts, engine: str) -> dict[str, RunFacet]:
    name = ENGINES[engine]
    facets: dict[str, RunFacet] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=versions().get(name, "unknown"),
            name=name,
            openlineageAdapterVersion=_adapter_version(),
            producer=PRODUCER,
        )
    }
    if start := facts.nominal_start:
        end = facts.nominal_end
        facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(
            nominalStartTime=stamp(start), nominalEndTime=stamp(end) if end else None, producer=PRODUCER
        )
    return facets


def _dagster(facts: RunFacts, catalog: Catalog) -> dict[str, Any]:
    return {
        "run_id": facts.run_id,
        "job": facts.job,
        "started_by": facts.started_by,
        "url": facts.url,
        "catalog_version": catalog.version,
        "versions": dict(versions()),
        "tags": dict(facts.tags),
    }
