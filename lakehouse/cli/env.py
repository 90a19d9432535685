"""``lakehouse env``: what plain ``dbt`` and ``dagster`` need in their environment."""

from __future__ import annotations

import shlex

import click


@click.command(
    epilog="""\b
Examples:
  eval "$(lakehouse env)"
  (cd dbt_project && dbt run --select tag:mart --target postgres)
"""
)
def command() -> int:
    """Print export lines for plain `dbt` and `dagster` commands, derived from the settings.

    With default settings dbt needs none of them. Passwords of the embedded Postgres stay in its password file; those
    of external servers and S3 keys are part of the output, so do not log it.
    """
    from lakehouse.dbt.environment import dbt_environment
    from lakehouse.settings import load_settings
    from orchestration.instance import dagster_environment, prepare_home

    settings = load_settings()
    prepare_home(settings)
    for name, value in sorted((dbt_environment(settings) | dagster_environment(settings)).items()):
        click.echo(f"export {name}={shlex.quote(value)}")
    return 0
