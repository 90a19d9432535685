"""``lakehouse lineage drain``: deliver what is in the outbox; the process that ``lakehouse up`` runs."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Examples:
  OPENLINEAGE_URL=http://127.0.0.1:5000 lakehouse lineage drain --once
  lakehouse lineage drain                          until Ctrl-C or SIGTERM
Exit codes with --once: 0 everything was delivered · 1 the server refused events · 2 no server is set, or wrongly ·
4 the server is away, or broken; what it has not taken stays where it is.
"""
)
@click.option("--once", is_flag=True, help="Stop when nothing waits any more, or the server is away.")
def command(once: bool) -> int:
    """Deliver lineage events to the server that OPENLINEAGE_URL or openlineage.yml names.

    `lakehouse up` runs one by itself where a server is set. Several do not disturb each other.
    """
    import contextlib
    from datetime import UTC, datetime

    from lakehouse import postgres
    from lakehouse.settings import load_settings
    from lineage.drainer_service import serve

    settings = load_settings()
    with postgres.ready(settings) if once else contextlib.nullcontext():
        done = serve(settings, lambda text: click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {text}"), once=once)
    return 1 if once and done.dead else 0
