"""Single values out of the facets of an event, tolerant of facets that are missing.

What belongs here: how a facet's plain data is read. What does not: making facets, or what a value means for the graph
(:mod:`lineage.reduce`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lineage.facts import Volume
from lineage.graph import Assertion
from lineage.names import Column, Dataset, Field

Facets = Mapping[str, Any] | None
PLATFORM, DAGSTER = "lakehouse", "lakehouse_dagster"
"""Our own facets: on jobs and datasets, and on runs (:mod:`lineage.facets.custom`)."""


@dataclass(frozen=True)
class Platform:
    """What our own facet says of a job or a dataset; empty where there is none."""

    layer: str = ""
    domain: str = ""
    kind: str = ""


def time(text: str) -> datetime:
    """An event's time, aware; one without an offset is UTC.

    Raises:
        ValueError: it is no ISO 8601 time.
    """
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def description(facets: Facets) -> str:
    """From the documentation facet."""
    return str(_facet(facets, "documentation").get("description") or "")


def lifecycle(facets: Facets) -> str:
    """ALTER, CREATE, DROP, OVERWRITE, RENAME, TRUNCATE or empty."""
    return str(_facet(facets, "lifecycleStateChange").get("lifecycleStateChange") or "").upper()


def columns(facets: Facets) -> tuple[Column, ...]:
    """From the schema facet."""
    fields = _facet(facets, "schema").get("fields") or ()
    return tuple(Column(each["name"], each.get("type") or "", each.get("description") or "") for each in fields)


def column_sources(facets: Facets) -> dict[str, set[Field]]:
    """Output column → input columns, from the columnLineage facet."""
    fields = _facet(facets, "columnLineage").get("fields") or {}
    return {
        output: {
            Field(Dataset(source["namespace"], source["name"]), source["field"])
            for source in told.get("inputFields") or ()
        }
        for output, told in fields.items()
    }


def assertions(facets: Facets) -> tuple[Assertion, ...]:
    """From the dataQualityAssertions facet, in its order."""
    told = _facet(facets, "dataQualityAssertions").get("assertions") or ()
    return tuple(
        Assertion(each["assertion"], bool(each["success"]), each.get("column"), each.get("severity") or "")
        for each in told
    )


def owners(facets: Facets) -> tuple[str, ...]:
    """From the ownership facet."""
    return tuple(each["name"] for each in _facet(facets, "ownership").get("owners") or ())


def source_uri(facets: Facets) -> str:
    """From the dataSource facet."""
    return str(_facet(facets, "dataSource").get("uri") or "")


def source_name(facets: Facets) -> str:
    """Name of the data source."""
    return str(_facet(facets, "dataSource").get("name") or "")


def source_path(facets: Facets) -> str:
    """Path of the code in its repository."""
    facet = _facet(facets, "sourceCodeLocation")
    return str(facet.get("path") or facet.get("url") or "")


def sql(facets: Facets) -> str:
    """The statement that ran."""
    return str(_facet(facets, "sql").get("query") or "")


def volume(facets: Facets) -> Volume:
    """From the outputStatistics facet."""
    told = _facet(facets, "outputStatistics")
    return Volume(rows=told.get("rowCount"), bytes=told.get("size"), files=told.get("fileCount"))


def error(facets: Facets) -> str | None:
    """From the errorMessage facet."""
    return _facet(facets, "errorMessage").get("message")


def dagster_run(facets: Facets) -> str | None:
    """The orchestrator's run."""
    return _facet(facets, DAGSTER).get("run_id")


def url(facets: Facets) -> str | None:
    """The page of the orchestrator's run."""
    return _facet(facets, DAGSTER).get("url")


def platform(facets: Facets) -> Platform:
    """Layer, domain and kind, from our own facet on jobs and datasets."""
    told = _facet(facets, PLATFORM)
    return Platform(*(str(told.get(key) or "") for key in ("layer", "domain", "kind")))


def job_kind(facets: Facets) -> str:
    """What made the job, e.g. ``dbt model``."""
    told = _facet(facets, "jobType")
    return " ".join(str(told[key]).lower() for key in ("integration", "jobType") if told.get(key))


def _facet(facets: Facets, name: str) -> Mapping[str, Any]:
    found = (facets or {}).get(name)
    return found if isinstance(found, Mapping) else {}
