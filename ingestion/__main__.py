"""``python -m ingestion SOURCE``: ingest without Dagster.

What belongs here: arguments and printing. What does not: anything that decides.
"""

from __future__ import annotations

import argparse
import json
import sys

from lakehouse.errors import LakehouseError


def main(arguments: list[str] | None = None) -> int:
    """Run and return the exit code: 0 good, 2 settings or declaration, 3 too much broken, 4 unavailable, 5 busy."""
    parser = argparse.ArgumentParser(
        prog="python -m ingestion",
        description="Validate what is new in a source's drop zone and record it in the ledger.",
        epilog="Example: python -m ingestion bioreactor",
    )
    parser.add_argument("source", help="name of a declaration in ingestion/sources/")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--replay",
        nargs="*",
        metavar="KEY",
        help="put these quarantined files back and validate them again; without KEY: all of them",
    )
    options = parser.parse_args(arguments)
    from ingestion.ingest import ingest
    from ingestion.replay import replay
    from lakehouse.postgres import ready
    from lakehouse.settings import load_settings

    def progress(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        settings = load_settings()
        with ready(settings):
            if options.replay is None:
                report = ingest(settings, options.source, progress=progress)
            else:
                report = replay(settings, options.source, *options.replay, progress=progress)
        print(json.dumps(report.to_dict(), indent=2, default=str) if options.json else report.text())
        report.raise_if_failed()
    except LakehouseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
