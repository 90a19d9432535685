"""The models' SQL as dbt compiles it, kept beside the prebuilt manifest.

What belongs here: compiling once per version of project and settings. What does not: the SQL of actual builds (the
table ``data_platform.lineage_models`` has that).
"""

from __future__ import annotations

import json
import os

from lakehouse.dbt.manifest import ensure_manifest, load_manifest
from lakehouse.errors import DataError
from lakehouse.settings import Settings

FILE = "compiled.json"


def compiled_sql(settings: Settings) -> dict[str, str]:
    """SQL of every model by name, as a full refresh would run it.

    Compiling opens the warehouse for writing (dbt knows no other way), so it waits for its turn; nothing is written.
    The answer is kept until project, settings or warehouse change: macros ask the warehouse what is in it.

    Raises:
        BusyError: the warehouse stayed taken.
        DataError: dbt could not compile.
    """
    path = ensure_manifest(settings) / FILE
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["warehouse"] == _sign(settings):
            return dict(kept["sql"])
    from lakehouse.dbt.runner import raw_invoke
    from lakehouse.duckdb.lock import exclusive

    with exclusive(settings.warehouse, "compiling the models", timeout=settings.lock_timeout_seconds):
        result = raw_invoke(
            settings,
            ["compile", "--target", "postgres", "--full-refresh", "--no-write-json"],
            manifest=load_manifest(settings),
        )
        sign = _sign(settings)
    if result.exception is not None or not result.success:
        raise DataError(
            f"dbt cannot compile the models: {result.exception or 'see its log'}",
            remedy=f"See {settings.dbt_dir / 'logs' / 'dbt.log'}.",
        )
    found = {
        item.node.name: item.node.compiled_code
        for item in getattr(result.result, "results", None) or ()
        if item.node.resource_type in {"model", "snapshot"} and item.node.compiled_code
    }
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps({"warehouse": sign, "sql": found}), encoding="utf-8")
    scratch.replace(path)
    return found


def _sign(settings: Settings) -> list[int]:
    state = settings.warehouse.stat()
    return [state.st_mtime_ns, state.st_size]
