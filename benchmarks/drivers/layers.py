"""The platform's models without ingestion and without tests: ``python -m benchmarks.drivers.layers [FILE]``.

For each layer what its step does: take the warehouse's lock, load the prebuilt manifest, run dbt in this process, let
go of the warehouse; the last one publishes the mart. ``dbt run`` in place of ``dbt build`` leaves the tests out.
Writes the SQL that dbt compiled to FILE, if given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(compiled: Path | None) -> None:
    """Run all layers from scratch."""
    from lakehouse.dbt.manifest import load_manifest
    from lakehouse.dbt.runner import raw_invoke
    from lakehouse.duckdb.lock import exclusive
    from lakehouse.settings import load_settings
    from orchestration.names import LAYERS

    settings = load_settings()
    models: list[dict[str, Any]] = []
    for layer in LAYERS:
        with exclusive(settings.warehouse, layer.name, timeout=60):
            args = ["run", "--target", layer.target, "--select", *layer.select.split(), "--no-write-json"]
            done = raw_invoke(settings, args, manifest=load_manifest(settings))
        outcomes: list[Any] = getattr(done.result, "results", None) or []
        if not done.success or not outcomes:
            sys.exit(f"{layer.name}: {done.exception} {[item.message for item in outcomes]}")
        models += [_model(item) for item in outcomes]
    if compiled is not None:
        compiled.write_text(json.dumps(models, indent=1), encoding="utf-8")
    print(json.dumps({model["name"]: model["seconds"] for model in models}))


def _model(outcome: Any) -> dict[str, Any]:
    node = outcome.node
    return {
        "schema": node.schema,
        "name": node.name,
        "materialized": node.config.materialized,
        "sql": node.compiled_code,
        "seconds": round(outcome.execution_time, 3),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
