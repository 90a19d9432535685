"""``lakehouse lineage replay``: dead letters, or events that were delivered before, are delivered again."""

from __future__ import annotations

from datetime import UTC, datetime

import click


@click.command(
    epilog="""\b
Examples:
  lakehouse lineage replay                         dead letters and runs not told, after the cause was mended
  lakehouse lineage replay --run 3f2c8a6e-…        one Dagster run
  lakehouse lineage replay --since 2026-11-20      every run since; or --all: for a new, empty lineage server
The drainer delivers them; without one: lakehouse lineage drain --once
"""
)
@click.option("--run", "runs", multiple=True, metavar="ID", help="Events of this Dagster run; may be repeated.")
@click.option("--since", type=click.DateTime(), help="Runs and metadata from this moment on (UTC).")
@click.option("--all", "everything", is_flag=True, help="Every event there is.")
def command(runs: tuple[str, ...], since: datetime | None, everything: bool) -> int:
    """Deliver dead letters again, or events that were delivered before. A server takes a run again without harm."""
    if sum((bool(runs), since is not None, everything)) > 1:
        raise click.UsageError("--run, --since and --all exclude each other.")
    from lakehouse import postgres
    from lakehouse.postgres.connect import connect_state
    from lakehouse.settings import load_settings
    from lineage import outbox_replay

    settings = load_settings()
    untold: list[str] = []
    with postgres.ready(settings):
        connection = connect_state(settings)
        try:
            if runs:
                again = outbox_replay.replay_runs(connection, runs)
            elif since is not None or everything:
                again = outbox_replay.replay_since(connection, since and since.replace(tzinfo=UTC))
            else:
                again = outbox_replay.replay_dead(connection)
                untold = outbox_replay.forget_unmapped(connection)
        finally:
            connection.close()
        if untold:
            from orchestration.instance import prepare_home
            from orchestration.lineage.mapping import map_here

            prepare_home(settings)
            map_here(settings)
    click.echo(f"{again:,} event{'' if again == 1 else 's'} to be delivered again.")
    if untold:
        click.echo(f"Looked at again: {', '.join(run_id[:8] for run_id in untold)}; what fails still raises an alert.")
    return 0
