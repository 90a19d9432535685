"""Identities from settings: how every physical dataset and every run is spelled in events.

What belongs here: (namespace, name) of datasets, job and run identities, one spelling of types. What does not: which
dataset is read or written by what (:mod:`lineage.declared`), or checking lengths (:mod:`lineage.limits`).

Spellings follow OpenLineage's naming specification, but where Marquez cannot read them (docs/lineage/naming.md): an
IPv6 host is written as ``…ipv6-literal.net``, ``#`` in a path as ``%23``, and a name whose first sign is a digit is
written with a leading ``/`` (a key of a lake) or in double quotes (a database).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid5

from lineage import openlineage_config
from lineage.names import Dataset

if TYPE_CHECKING:
    from lakehouse.settings import Settings

PRODUCER = "https://lakehouse.example/lineage/1"
"""Who makes these events: a name, no address (``.example`` never resolves), the same for every installation. The number
changes when the meaning of the events does."""
DEFAULT_JOB_NAMESPACE = "lakehouse"
PARENT_JOB = "lakehouse"
"""The one parent of all jobs: Marquez makes two nodes of an asset that is seen under two parents."""
SYNC_JOB = "lakehouse.metadata_sync"
"""The job whose events describe datasets that have been written already; it reads and writes nothing itself."""
MARTS_ALIAS = "marts"
"""Name under which dbt attaches the marts' Postgres (dbt_project/profiles.yml)."""
WAREHOUSE_NAMESPACE = "duckdb://lakehouse"
EXPOSURE_NAMESPACE = "exposure://lakehouse"
POSTGRES_PORT = 5432
RUNS = UUID("5b1f2f0e-6d0c-5f0e-9a53-0c6f1b0f7a11")
"""Namespace of derived run ids; changing it would make every run another one."""


def job_namespace(environment: Mapping[str, str] | None = None) -> str:
    """Namespace of all our jobs: ``OPENLINEAGE_NAMESPACE``, as every OpenLineage client reads it; also from ``.env``.

    Args:
        environment: taken instead of the environment and ``.env``.
    """
    given = openlineage_config.variables(environment)
    return given.get("OPENLINEAGE_NAMESPACE", "").strip() or DEFAULT_JOB_NAMESPACE


def child_run_id(dagster_run: str, step_key: str, attempt: int, asset_key: str, partition: str | None = None) -> str:
    """Run id of one attempt at one asset: the same whenever it is mapped again."""
    text = f"{dagster_run}/{step_key}/{attempt}/{asset_key}/{partition or ''}"
    return str(uuid5(RUNS, text.encode("utf-8", "backslashreplace").decode()))  # a partition's key may be any text


def event_job(asset_key: str) -> str:
    """An asset's job as events name it: with its parent, so that an event without parent facet means the same job."""
    return f"{PARENT_JOB}.{asset_key}"


def check_job(asset_key: str) -> str:
    """Job of the checks of an asset that ran without it."""
    return f"{PARENT_JOB}.checks.{asset_key}"


def exposure_job(name: str) -> str:
    """Job of a declared exposure."""
    return f"exposure.{name}"


def lake_dataset(settings: Settings, key: str) -> Dataset:
    """A file or folder of the lake.

    Args:
        settings: where the lake is.
        key: below the lake's root, e.g. ``raw/bioreactor``.
    """
    key = key.strip("/").replace("#", "%23")
    if settings.lake_root.startswith("s3://"):
        parts = urlsplit(settings.lake_root)
        name = "/".join(part for part in (parts.path.strip("/"), key) if part)
        return Dataset(f"s3://{parts.netloc}", f"/{name}" if name[:1].isdigit() else name)
    return Dataset("file", f"{settings.lake_root.replace('#', '%23')}/{key}")


def dropped_dataset(settings: Settings, drop_zone: str, pattern: str) -> Dataset:
    """What others put into a drop zone: files of a pattern, as apart from the prefix that was accepted from them."""
    return lake_dataset(settings, f"{drop_zone}/{pattern}")


def warehouse_dataset(settings: Settings, schema: str, identifier: str) -> Dataset:
    """A relation of the DuckDB file, whose catalog is named like the file."""
    return Dataset(WAREHOUSE_NAMESPACE, f"{_first(settings.warehouse.stem)}.{schema}.{identifier}")


def marts_dataset(settings: Settings, schema: str, identifier: str) -> Dataset:
    """A relation of the marts' Postgres."""
    host, port, database = _server(settings)
    return Dataset(f"postgres://{host}:{port}", f"{_first(database)}.{schema}.{identifier}")


def relation_dataset(settings: Settings, database: str | None, schema: str, identifier: str) -> Dataset:
    """A relation as dbt names it: in the attached Postgres, or in the DuckDB file."""
    if database == MARTS_ALIAS:
        return marts_dataset(settings, schema, identifier)
    return warehouse_dataset(settings, schema, identifier)


def exposure_dataset(kind: str, name: str) -> Dataset:
    """What a declared exposure stands for, e.g. ``dashboard``, ``bioreactor_overview``."""
    return Dataset(EXPOSURE_NAMESPACE, f"{kind}.{name}")


def source_uri(settings: Settings, dataset: Dataset) -> str:
    """Where a dataset's namespace really is: an address or an absolute path, never with a password."""
    if dataset.namespace == WAREHOUSE_NAMESPACE:
        return f"duckdb://{settings.warehouse}"
    if dataset.namespace == "file":
        return f"file://{settings.lake_root}"
    if dataset.namespace.startswith("s3://"):
        return settings.lake_root
    if dataset.namespace.startswith("postgres://"):
        return f"{dataset.namespace}/{_server(settings)[2]}"
    return dataset.namespace


def type_name(text: str) -> str:
    """One spelling of a type, however dbt, DuckDB or Postgres wrote it: upper case, DuckDB's names.

    Two spellings of one type would show a column twice in Marquez. Nested types with named fields stay as they are.
    """
    text = " ".join(text.split())
    if '"' in text or "STRUCT" in text.upper():
        return text
    base, bracket, rest = text.upper().partition("(")
    stem, lists = LISTS.fullmatch(base.strip()).groups()  # type: ignore[union-attr]  # it matches any text
    return ALIASES.get(stem, stem) + lists + bracket + rest.replace(", ", ",")


LISTS = re.compile(r"(.*?)((?:\[\d*\])*)")
ALIASES = {
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "CHARACTER VARYING": "VARCHAR",
    "INT": "INTEGER",
    "INT4": "INTEGER",
    "INT8": "BIGINT",
    "INT2": "SMALLINT",
    "LONG": "BIGINT",
    "DOUBLE PRECISION": "DOUBLE",
    "FLOAT8": "DOUBLE",
    "FLOAT4": "FLOAT",
    "REAL": "FLOAT",
    "BOOL": "BOOLEAN",
    "NUMERIC": "DECIMAL",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
}


def _server(settings: Settings) -> tuple[str, int, str]:
    """Host, port and database of the marts, as they may stand in a dataset's namespace."""
    from lakehouse.postgres.connect import marts_url

    parts = urlsplit(marts_url(settings))
    address = parts.netloc.rpartition("@")[2].split(",")[0]  # of several servers the first is the name of all
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        host = f"{host.replace('%25', '%').replace('%', 's').replace(':', '-').lower()}.ipv6-literal.net"
        port = port.removeprefix(":")
    else:
        host, _, port = address.partition(":")
        host = unquote(host).lower()
        if host.startswith("/"):  # a socket's folder: the server of this machine
            host = "localhost"
    return host, int(port or POSTGRES_PORT), unquote(parts.path.lstrip("/"))


def _first(part: str) -> str:
    """The first part of a dotted name; PostgreSQL and DuckDB, too, want it quoted where it begins with a digit."""
    return f'"{part}"' if part[:1].isdigit() else part
