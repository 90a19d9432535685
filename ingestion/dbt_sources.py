"""dbt's source files, written from the declarations: columns, row rules and ranges stand in one place.

What belongs here: rendering, and keeping the committed files in step (``python -m ingestion.dbt_sources [--check]``).
What does not: models and tests; those read the source's ``meta`` from dbt's graph.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from ingestion.declarations import SOURCES, DropZoneSource, load_all
from lakehouse.errors import LakehouseError

PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"


def path_of(source: DropZoneSource, project: Path = PROJECT) -> Path:
    """Where a source's file stands."""
    return project / "models" / "staging" / source.domain / f"_{source.source}__sources.yml"


def render(source: DropZoneSource) -> str:
    """The text of a source's file."""
    document = {
        "version": 2,
        "sources": [
            {
                "name": source.source,
                "description": source.description,
                "tables": [
                    {
                        "name": source.stream,
                        "description": source.description,
                        "config": {"meta": meta(source)},
                        "columns": [
                            {"name": column.name, "data_type": column.type, "description": column.description}
                            for column in source.columns
                        ],
                    }
                ],
            }
        ],
    }
    head = (
        f"# Written by `python -m ingestion.dbt_sources` from {source.file}: change it there, not here.\n"
        "# Models, macros and tests read `meta` from dbt's graph.\n"
    )
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def meta(source: DropZoneSource) -> dict[str, Any]:
    """What models need to know about a source, as plain values."""
    return {
        "owner": source.owner,
        "asset": source.asset,
        "drop_zone": source.path,
        "pattern": source.pattern,
        "declared_in": source.file,
        "ledger": source.ledger_export,
        "key": list(source.key),
        "time_column": source.time_column,
        "batch_column": source.batch_column,
        "equipment_column": source.equipment_column,
        "extra_columns": source.extra_columns,
        "row_rules": [
            {"name": rule.name, "expression": rule.expression, "action": rule.action} for rule in source.row_rules
        ],
        "parameters": [parameter.model_dump() for parameter in source.parameters],
        "freshness": source.freshness.model_dump() if source.freshness else None,
        "min_rows": source.thresholds.min_rows,
    }


def stale(folder: Path = SOURCES, project: Path = PROJECT) -> dict[Path, str]:
    """Files that differ from their declarations, with the text they should have."""
    wanted = {path_of(source, project): render(source) for source in load_all(folder).values()}
    return {
        path: text for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def write(folder: Path = SOURCES, project: Path = PROJECT) -> list[Path]:
    """Bring dbt's source files up to date and return those that were written."""
    changed = stale(folder, project)
    for path, text in changed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return sorted(changed)


def main(arguments: list[str] | None = None) -> int:
    """Write, or with ``--check`` only tell; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ingestion.dbt_sources", description=write.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    options = parser.parse_args(arguments)
    try:
        paths = sorted(stale()) if options.check else write()
    except LakehouseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for path in paths:
        print(f"{'out of date' if options.check else 'written'}: {path.relative_to(PROJECT.parent)}")
    return 1 if options.check and paths else 0


if __name__ == "__main__":
    sys.exit(main())
