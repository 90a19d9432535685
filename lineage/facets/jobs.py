"""Facets of jobs. All of them stand on every event of a job: Marquez forgets what a later event leaves out.

What belongs here: job facets. What does not: what happened in a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from openlineage.client.facet_v2 import (
    JobFacet,
    documentation_job,
    job_type_job,
    ownership_job,
    source_code_location_job,
    sql_job,
)

from lineage.catalog import Job
from lineage.facets.custom import LakehouseJobFacet
from lineage.naming import PRODUCER
from lineage.sql_text import shown

if TYPE_CHECKING:
    from lakehouse.settings import Settings

INTEGRATIONS = {"SQL": ("DBT", "MODEL"), "PYTHON": ("DAGSTER", "ASSET"), "EXPOSURE": ("DBT", "EXPOSURE")}
"""Language of a job → integration and job type."""
MAINTAINER = "MAINTAINER"
"""Type of an owner: whom to ask."""
PARENT_TEXT = (
    "One run of the lakehouse, whoever started it; the assets it built are its children. The Dagster job behind it is"
    " in the facet lakehouse_dagster."
)
SYNC_TEXT = "Tells descriptions, owners and columns of datasets, also when nothing ran. It reads and writes nothing."
SYNC_SOURCE = "lineage/sync.py"
CHECK_TEXT = "Checks of {} that ran without it being built. Their verdicts stand on the dataset; nothing is written."
PARENT_SOURCE = "orchestration/definitions.py"


@dataclass(frozen=True)
class EventOptions:
    """What events say that neither the catalog nor the run knows.

    Attributes:
        repository_url: what a file's path is appended to for a link to its source; empty: there is no such page.
    """

    repository_url: str = ""

    @classmethod
    def of(cls, settings: Settings) -> EventOptions:
        """From the settings."""
        return cls(repository_url=settings.repository_url)


def job_facets(job: Job, options: EventOptions, sql: str | None = None) -> dict[str, JobFacet]:
    """Facets of an asset's or an exposure's job.

    Args:
        job: from the catalog.
        options: for links.
        sql: what ran; None: what the catalog knows of the last build.
    """
    integration, kind = INTEGRATIONS[job.language]
    facets = _common(job.description, integration, kind, job.source_path, options)
    if job.owners:
        owners = [ownership_job.Owner(name=owner, type=MAINTAINER) for owner in job.owners]
        facets["ownership"] = ownership_job.OwnershipJobFacet(owners=owners, producer=PRODUCER)
    if job.language == "SQL" and (text := sql or job.sql):
        facets["sql"] = sql_job.SQLJobFacet(query=shown(text), dialect="duckdb", producer=PRODUCER)
    facets["lakehouse"] = LakehouseJobFacet(
        layer=job.layer,
        domain=job.domain,
        language=job.language,
        asset_key=job.asset_key,
        materialized=job.materialized or None,
        producer=PRODUCER,
    )
    return facets


def parent_facets(options: EventOptions) -> dict[str, JobFacet]:
    """Facets of the one parent job."""
    return _common(PARENT_TEXT, "DAGSTER", "JOB", PARENT_SOURCE, options)


def check_facets(job: Job, options: EventOptions) -> dict[str, JobFacet]:
    """Facets of the job of an asset's checks where they run alone.

    Args:
        job: the asset's.
        options: for links.
    """
    return _common(CHECK_TEXT.format(job.asset_key), "DAGSTER", "CHECK", job.source_path, options)


def sync_facets(options: EventOptions) -> dict[str, JobFacet]:
    """Facets of the job that only describes."""
    return _common(SYNC_TEXT, "DAGSTER", "JOB", SYNC_SOURCE, options)


def _common(text: str, integration: str, kind: str, path: str, options: EventOptions) -> dict[str, JobFacet]:
    facets: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration=integration, jobType=kind, producer=PRODUCER
        ),
        "sourceCodeLocation": _location(path, options),
    }
    if text:
        facets["documentation"] = documentation_job.DocumentationJobFacet(description=text, producer=PRODUCER)
    return facets


def _location(path: str, options: EventOptions) -> source_code_location_job.SourceCodeLocationJobFacet:
    root = options.repository_url.rstrip("/")
    return source_code_location_job.SourceCodeLocationJobFacet(
        type="git" if root else "file",
        url=f"{root}/{quote(path)}" if root else f"file:{quote(path)}",  # relative to the checkout: no machine's path
        path=path,
        producer=PRODUCER,
    )
