"""Names that the requirements fix and several modules share: layers, jobs, tags."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A dbt layer as Dagster builds it.

    Attributes:
        name: the requirements' name of the layer; the name of its Dagster definition.
        target: the dbt target it is built with.
        tags: the model layers (folders) that belong to it; values of the ``layer`` tag its assets carry.
    """

    name: str
    target: str
    tags: tuple[str, ...]


LAYERS = (
    Layer("dbt_staging_models", "duckdb", ("staging",)),
    Layer("dbt_curated_models", "duckdb", ("intermediate", "curated")),
    Layer("dbt_postgres_marts", "postgres", ("mart",)),
)

NIGHTLY_JOB = "nightly_pipeline"
FILES_JOB = "file_arrival"

TAG_LAYER = "layer"
TAG_DOMAIN = "domain"

# Metadata keys that Dagster documents and its pages understand.
META_ROWS = "dagster/row_count"
META_COLUMNS = "dagster/column_schema"
META_RELATION = "dagster/relation_identifier"
META_CODE = "dagster/code_references"

# Run tags: what a caller asked for.
TAG_FORCE = "lakehouse/force"
TAG_ACCEPT_STALE = "lakehouse/accept_stale"
TAG_FULL_REFRESH = "lakehouse/full_refresh"
TAG_FULL_CHECKS = "lakehouse/full_checks"
TAG_RETRY_DELAY = "lakehouse/retry_delay_seconds"
TAG_SOURCE = "lakehouse/source"
TAG_PENDING = "lakehouse/pending"
TAG_RESUMES = "lakehouse/resumes"
TAG_DIED = "lakehouse/died"
TAG_FILES = "lakehouse/files"
TAG_STARTED_BY = "lakehouse/started_by"
BY_COMMAND = "lakehouse run"
TAG_PROCESS = "lakehouse/process"

# Metadata of a step's failure.
META_TRANSIENT = "transient"
