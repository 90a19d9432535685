"""What ``dbt_project/profiles.yml`` reads from the environment, derived from the settings.

The profile has defaults for a laptop checkout, so plain ``dbt`` works without any of these.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from lakehouse.duckdb.extensions import extension_directory
from lakehouse.settings import Settings


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Variables for dbt's profile and macros. Holds S3 keys where the lake is on S3: do not print it."""
    from lakehouse.postgres.connect import marts_dsn

    # DuckDB does not make the folder of its file, and dbt then waits half a minute before it says so.
    settings.warehouse.parent.mkdir(parents=True, exist_ok=True)
    endpoint = urlsplit(settings.s3_endpoint)
    return {
        "LAKEHOUSE_LAKE_ROOT": settings.lake_root,
        "LAKEHOUSE_DUCKDB_PATH": str(settings.warehouse),
        "LAKEHOUSE_DUCKDB_EXTENSION_DIR": str(extension_directory(settings.data_path)),
        "LAKEHOUSE_DUCKDB_MEMORY_LIMIT": settings.memory_limit,
        "LAKEHOUSE_DUCKDB_THREADS": str(settings.threads),
        "LAKEHOUSE_MARTS_DSN": marts_dsn(settings),
        "LAKEHOUSE_MARTS_KEEP_VERSIONS": str(settings.marts_keep_versions),
        "LAKEHOUSE_S3_HOST": endpoint.netloc,
        "LAKEHOUSE_S3_USE_SSL": str(endpoint.scheme != "http").lower(),
        "LAKEHOUSE_S3_REGION": settings.s3_region,
        "LAKEHOUSE_S3_ACCESS_KEY": settings.s3_access_key.get_secret_value(),
        "LAKEHOUSE_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }
