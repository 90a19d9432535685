"""``lakehouse stack``: the one-shot steps of ``docker-compose.yml``."""

from __future__ import annotations

import os

import click


@click.group()
def command() -> None:
    """Steps that the services of docker-compose.yml run once, before the rest starts.

    \b
    Example:
      docker compose run --rm preflight
    """


@command.command(epilog="\b\nExample:\n  docker compose run --rm preflight")
def preflight() -> int:
    """Refuse to start with secrets that are empty, short, examples, or used twice."""
    from lakehouse.production.stack import SECRETS, check

    check(os.environ)
    click.echo(f"{len(SECRETS)} secrets are in order.")
    return 0


@command.command(epilog="\b\nExample:\n  docker compose run --rm provision    # again after a password changed in .env")
def provision() -> int:
    """Create roles and databases on both Postgres servers, or give them the passwords of the environment.

    Reads LAKEHOUSE_STATE_URL, LAKEHOUSE_MARTS_URL, LAKEHOUSE_MARTS_ADMIN_URL, and what only this step may know:
    STACK_STATE_SUPERUSER_URL, STACK_MARTS_SUPERUSER_URL, STACK_MARTS_BI_PASSWORD.
    """
    from lakehouse.errors import ConfigError
    from lakehouse.postgres.connect import marts_admin_url, marts_url, state_url
    from lakehouse.production.databases import prepare_marts, prepare_state
    from lakehouse.settings import load_settings

    names = ("STACK_STATE_SUPERUSER_URL", "STACK_MARTS_SUPERUSER_URL", "STACK_MARTS_BI_PASSWORD")
    missing = [name for name in names if not os.environ.get(name)]
    settings = load_settings()
    if settings.embedded_postgres:
        missing += ["LAKEHOUSE_STATE_URL", "LAKEHOUSE_MARTS_URL"]
    if missing:
        raise ConfigError(
            f"Set-up of the Postgres servers needs {', '.join(missing)}.",
            remedy="Run it as the service of the compose file: docker compose run --rm provision",
        )
    state_superuser, marts_superuser, bi_password = (os.environ[name] for name in names)
    made = prepare_state(state_superuser, state_url(settings))
    made += prepare_marts(marts_superuser, marts_url(settings), marts_admin_url(settings), bi_password)
    click.echo(f"Created {', '.join(made)}." if made else "Nothing to create; passwords are those of the environment.")
    return 0
