"""Our own facets: what OpenLineage has no word for.

What belongs here: the classes and where their JSON Schema stands (``schemas/`` beside this file; the tests validate
events against them). What does not: filling them.
"""

from __future__ import annotations

from typing import Any

import attr
from openlineage.client.facet_v2 import DatasetFacet, JobFacet, RunFacet

from lineage.naming import PRODUCER

SCHEMA_URL = f"{PRODUCER}/LakehouseFacets.json"
"""``$id`` of schemas/LakehouseFacets.json; like the producer a name, no address that anybody must reach."""


@attr.define(kw_only=True)
class LakehouseDagsterRunFacet(RunFacet):
    """``lakehouse_dagster``: Dagster's side of a run.

    Attributes:
        run_id: Dagster's run, which is the run id of the parent job.
        job: Dagster's job, e.g. ``nightly_pipeline``.
        started_by: who started it: ``lakehouse run``, ``worker``, ``schedule``, ``sensor``, ``page``.
        catalog_version: version of the declarations that the event was made with.
        step, attempt, partition: of an asset's run.
        up_to_date: nothing had to be built.
        url: the run's page.
        versions: of the engines.
        tags, facts: further plain values.
        unknown_assets: on a parent: assets of the run that the code no longer declares; nothing is told of them.
    """

    run_id: str
    job: str
    started_by: str
    catalog_version: str
    step: str | None = None
    attempt: int | None = None
    partition: str | None = None
    up_to_date: bool | None = None
    url: str | None = None
    versions: dict[str, str] = attr.field(factory=dict)
    tags: dict[str, str] = attr.field(factory=dict)
    facts: dict[str, Any] = attr.field(factory=dict)
    unknown_assets: list[str] | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA_URL}#/$defs/LakehouseDagsterRunFacet"


@attr.define(kw_only=True)
class LakehouseJobFacet(JobFacet):
    """``lakehouse``: where a job stands in the platform: layer, domain, language and dbt materialization."""

    layer: str
    domain: str
    language: str
    asset_key: str | None = None
    materialized: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA_URL}#/$defs/LakehouseJobFacet"


@attr.define(kw_only=True)
class LakehouseDatasetFacet(DatasetFacet):
    """``lakehouse``: where a dataset stands in the platform, and what it is physically."""

    layer: str
    domain: str
    kind: str
    asset_key: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA_URL}#/$defs/LakehouseDatasetFacet"
