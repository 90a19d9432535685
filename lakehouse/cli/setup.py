"""``lakehouse setup``: databases, migrations, extensions and the manifest, ahead of the first run."""

from __future__ import annotations

import click


@click.command(epilog="\b\nExample:\n  lakehouse setup")
def command() -> int:
    """Prepare everything `lakehouse run` would prepare, and stop: databases, DuckDB extensions, the dbt manifest."""
    from lakehouse import postgres
    from lakehouse.dbt.manifest import ensure_manifest
    from lakehouse.settings import load_settings

    settings = load_settings()
    with postgres.ready(settings):
        from dagster import DagsterInstance

        from orchestration.instance import prepare_home

        prepare_home(settings)
        ensure_manifest(settings)
        with DagsterInstance.get():
            click.echo(f"Ready. Data: {settings.data_path}")
    return 0
