"""What the first run would pay for alone: done once, before the first file arrives."""

from lakehouse.settings import Settings


def warm_up(settings: Settings) -> None:
    """Load the libraries, the extensions and the manifest that every run needs."""
    import dbt.adapters.duckdb
    import dbt.cli.main
    import duckdb
    import pyarrow.parquet  # noqa: F401 - for its import alone, as the ones above

    from lakehouse.dbt.manifest import load_manifest

    load_manifest(settings)
    del duckdb, dbt
