"""``lakehouse lineage sync``: what is declared, told to lineage now."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Example:
  lakehouse lineage sync
"""
)
def command() -> int:
    """Tell lineage what is declared: descriptions, owners, exposures, and what is gone.

    This happens every six hours under `lakehouse up`, and after a run of changed code. Events go into the outbox;
    nothing is sent from here.
    """
    from lakehouse import postgres
    from lakehouse.settings import load_settings

    settings = load_settings()
    with postgres.ready(settings):
        from orchestration.lineage.sync import sync

        new = sync(settings)
    click.echo(f"{new} new event(s) in the outbox." if new else "Nothing new: this was told today.")
    return 0
