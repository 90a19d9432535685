"""``lakehouse init``: the ``.env`` of a server, or what a laptop has without one."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Examples:
  lakehouse init                        # nothing to do on a laptop: says what the defaults are
  lakehouse init --production           # writes .env with generated secrets, for docker compose
  lakehouse init --production --force   # new secrets in place of all; for a stack that was never started
"""
)
@click.option("--production", is_flag=True, help="Write .env with generated secrets.")
@click.option("--force", is_flag=True, help="Begin anew although .env exists; it is kept beside it.")
@click.option("--file", "path", type=click.Path(dir_okay=False), help="Another file than .env in the checkout.")
def command(production: bool, force: bool, path: str | None) -> int:
    """Prepare the settings of an installation.

    With --production: writes `.env` (readable by you only) with a generated secret for every role of the stack.
    Run again it keeps every line and adds what is missing.
    """
    from pathlib import Path

    from lakehouse.production import env_file
    from lakehouse.production.secrets import weakness
    from lakehouse.production.stack import SECRETS
    from lakehouse.settings import PROJECT_ROOT

    file = Path(path) if path else PROJECT_ROOT / ".env"
    if not production:
        click.echo(
            "Nothing to prepare: without a .env everything is embedded.\n"
            "  Postgres   our own, on 127.0.0.1:15432; passwords generated into data/postgres/pgpass\n"
            "  Lake       data/lake/raw/<source>/\n"
            "  Start      lakehouse run, then lakehouse up\n"
            "Every setting: .env.example. For servers: lakehouse init --production"
        )
        return 0
    added, kept = env_file.write(file, afresh=force)
    if kept is not None:
        click.echo(f"The former file is {kept}. Servers that know its passwords need them: docs/security.md, rotation.")
    click.echo(f"{file}: {len(added)} secrets generated, {len(SECRETS) - len(added)} kept.")
    known = env_file.values(file.read_text(encoding="utf-8"))
    weak = [f"{secret.name} {fault}" for secret in SECRETS if (fault := weakness(known[secret.name]))]
    if weak:
        click.echo("Kept, but refused in production:\n  - " + "\n  - ".join(weak), err=True)
        return 2
    click.echo(
        "Next:\n"
        "  docker compose build\n"
        "  docker compose up --detach --wait       # --profile lineage adds Marquez\n"
        "  docker compose exec dagster-web lakehouse status\n"
        "Then http://127.0.0.1:3000. Operations: docs/operations/stack.md"
    )
    return 0
