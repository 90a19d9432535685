"""The catalog of the present code as the mapper needs it, with each model's SQL and column lineage.

What belongs here: putting manifest, stored SQL and computed column lineage together, once per process and version.
What does not: making a catalog (:mod:`lineage.declared`), understanding SQL (:mod:`lineage.columns`).
"""

import functools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

from lakehouse.dbt.manifest import ensure_manifest
from lakehouse.settings import Settings
from lineage.catalog import Catalog, Job, Transformed
from lineage.declared import catalog as declared_catalog
from lineage.names import Dataset, Field
from orchestration.lineage import compiled
from orchestration.lineage.compiled import Compiled

log = logging.getLogger(__name__)

Columns = Mapping[str, tuple[Transformed, ...]]


@dataclass(frozen=True)
class _Made:
    """A catalog, and the models' SQL it was made with."""

    of: tuple[object, ...]
    catalog: Catalog


_made: _Made | None = None
_columns: dict[tuple[str, str, str], Columns] = {}
"""Column lineage by asset, manifest and SQL as far as it matters."""


def present_catalog(connection: Connection, settings: Settings) -> Catalog:
    """What is declared now, with the SQL and the column lineage of each model's last build.

    Args:
        connection: to the state database.
        settings: the platform's settings.

    Raises:
        ConfigError: the dbt project does not parse.
    """
    global _made
    folder = ensure_manifest(settings)
    base = _declared(folder, settings)
    built = {asset: row for asset, row in compiled.stored(connection).items() if base.of_asset(asset) is not None}
    of = (folder, settings, frozenset(_identity(asset, row) for asset, row in built.items()))
    made = _made
    if made is None or made.of != of:
        columns = {asset: _columns_of(connection, row, base.jobs[asset], base) for asset, row in built.items()}
        made = _made = _Made(of, declared_catalog(_manifest(folder), settings, columns))
        _manifest.cache_clear()  # some megabytes that are read once per version
    jobs = {
        name: replace(job, sql=built[name].sql if name in built else None) for name, job in made.catalog.jobs.items()
    }
    return replace(made.catalog, jobs=jobs)


def _identity(asset: str, row: Compiled) -> tuple[str, str, str]:
    # Once every input is spoken of, full and incremental builds and lists of files all give the same columns.
    return (asset, row.manifest_key, "" if row.whole else row.sql)


def _columns_of(connection: Connection, row: Compiled, job: Job, base: Catalog) -> Columns:
    from lineage.columns import covers, model_columns

    key = _identity(job.name, row)
    if key in _columns:
        return _columns[key]
    kept = compiled.columns(connection, job.name)
    if kept is not None:
        found = _unpacked(kept)
    else:
        try:
            found = model_columns(row.sql, job, base)
        except ValueError as error:  # the tables' edges are known all the same
            log.warning("The column lineage of %s is not known: %s", job.name, error)
            found = {}
        whole = not found or covers(job, found)
        compiled.keep_columns(connection, job.name, row.manifest_key, {**_packed(found), "whole": whole})
    for old in [known for known in _columns if known[0] == job.name]:
        del _columns[old]
    _columns[key] = found
    return found


def _packed(columns: Columns) -> dict[str, object]:
    """Column lineage as JSON: datasets once, columns by their number."""
    numbers: dict[Dataset, int] = {}
    return {
        "columns": {
            output: [
                [numbers.setdefault(item.field.dataset, len(numbers)), item.field.column, item.kind, item.subtype]
                for item in sources
            ]
            for output, sources in columns.items()
        },
        "datasets": [[dataset.namespace, dataset.name] for dataset in numbers],
    }


def _unpacked(value: Mapping[str, Any]) -> Columns:
    datasets = [Dataset(*names) for names in value["datasets"]]
    return {
        output: tuple(Transformed(Field(datasets[number], column), kind, how) for number, column, kind, how in sources)
        for output, sources in value["columns"].items()
    }


@functools.lru_cache(maxsize=1)
def _manifest(folder: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return loaded


@functools.lru_cache(maxsize=1)
def _declared(folder: Path, settings: Settings) -> Catalog:
    return declared_catalog(_manifest(folder), settings)
