"""The catalog of the present code as the mapper needs it, with each model's SQL and column lineage.

What belongs here: putting manifest, stored SQL and computed column lineage together, once per process and version.
What does not: making a catalog (:mod:`lineage.declared`), understanding SQL (:mod:`lineage.columns`).
"""

import functools
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

from lakehouse.dbt.manifest import ensure_manifest
from lakehouse.settings import Settings
from lineage.catalog import Catalog
from lineage.declared import catalog as declared_catalog
from orchestration.lineage import compiled

log = logging.getLogger(__name__)


def present_catalog(connection: Connection, settings: Settings) -> Catalog:
    """What is declared now, with the SQL of each model's last build.

    Args:
        connection: to the state database.
        settings: the platform's settings.
    """
    folder = ensure_manifest(settings)
    stored = compiled.stored(connection)
    made = _declared(folder, settings)
    sql = {asset: text for asset, (_, text, _) in stored.items()}
    return replace(made, jobs={name: replace(job, sql=sql.get(name)) for name, job in made.jobs.items()})


def load_manifest(folder: Path) -> dict[str, Any]:
    """Dbt's manifest.json as plain data."""
    loaded: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return loaded


@functools.lru_cache(maxsize=1)
def _declared(folder: Path, settings: Settings) -> Catalog:
    return declared_catalog(load_manifest(folder), settings)
