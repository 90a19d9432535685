"""What is declared, independent of any run: every job with what it reads and writes, every exposure.

What belongs here: the value types of the catalog and look-ups on them. What does not: reading the dbt manifest and the
declarations (:mod:`lineage.declared` makes a catalog from them), or anything that happened in a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lineage.names import Column, Dataset, Field

Kind = Literal["file", "parquet", "view", "table", "mart", "exposure"]


@dataclass(frozen=True)
class DatasetInfo:
    """What is declared about a dataset.

    Attributes:
        dataset: its identity.
        kind: what it is physically.
        asset_key: the asset that writes it; None for what others drop.
        layer, domain: of the platform; ``source`` and ``exposure`` are the layers at both ends.
        description, owners, columns: as declared.
        source_uri: where it really is, e.g. the path of the DuckDB file; never a password.
    """

    dataset: Dataset
    kind: Kind
    asset_key: str | None
    layer: str
    domain: str
    description: str = ""
    owners: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    source_uri: str = ""


@dataclass(frozen=True)
class Transformed:
    """One input column of an output column.

    Attributes:
        field: the input column.
        kind: ``DIRECT`` (its value goes into the output) or ``INDIRECT`` (it decides which rows or groups).
        subtype: IDENTITY, TRANSFORMATION or AGGREGATION; JOIN, GROUP_BY, FILTER, SORT, WINDOW or CONDITIONAL.
    """

    field: Field
    kind: Literal["DIRECT", "INDIRECT"]
    subtype: str


@dataclass(frozen=True)
class Job:
    """One asset or exposure as a job.

    Attributes:
        name: the job's name, which is the asset's key; for an exposure ``exposure.<name>``.
        asset_key: the asset; None for an exposure.
        layer, domain, description, owners: as declared.
        inputs, outputs: physical datasets. The first output is the asset itself.
        source_path: the file that declares it, relative to the checkout.
        language: ``SQL``, ``PYTHON`` or ``EXPOSURE``.
        columns: output column of the first output → its inputs; empty where unknown.
        materialized: dbt's materialization; empty where it is no model.
        sql: what an asset's last build ran; None where unknown or no model. Not part of the catalog's version.
        url: an exposure's page.
    """

    name: str
    asset_key: str | None
    layer: str
    domain: str
    description: str
    owners: tuple[str, ...]
    inputs: tuple[Dataset, ...]
    outputs: tuple[Dataset, ...]
    source_path: str
    language: str
    columns: Mapping[str, tuple[Transformed, ...]] = field(default_factory=dict)
    materialized: str = ""
    sql: str | None = None
    url: str = ""


@dataclass(frozen=True)
class Catalog:
    """All jobs and datasets of this code and these settings.

    Attributes:
        job_namespace: of all our jobs.
        parent_job: the one constant parent of every asset's job.
        jobs: by name, each after those it reads.
        datasets: by identity.
        version: digest of all that is declared, so not of SQL and column lineage, which builds give; a change means
            that metadata has to be sent again.
    """

    job_namespace: str
    parent_job: str
    jobs: Mapping[str, Job]
    datasets: Mapping[Dataset, DatasetInfo]
    version: str

    def of_asset(self, asset_key: str) -> Job | None:
        """The job that builds an asset; None where the code knows it no more."""
        job = self.jobs.get(asset_key)
        return job if job is not None and job.asset_key == asset_key else None

    def writer(self, dataset: Dataset) -> Job | None:
        """The job that writes a dataset; None for what others drop."""
        return next((job for job in self.jobs.values() if dataset in job.outputs), None)
