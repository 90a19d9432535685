"""``lakehouse lineage dead-letters``: what the lineage server refused, and why; giving it up."""

from __future__ import annotations

import json

import click


@click.command(
    epilog="""\b
Examples:
  lakehouse lineage dead-letters
  lakehouse lineage dead-letters --json            with the events themselves
  lakehouse lineage dead-letters --discard KEY     give one up for good
Exit code 0 when there are none (any more), 1 when there are.
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, bodies included.")
@click.option("--discard", "keys", multiple=True, metavar="KEY", help="Give this event up; may be repeated.")
def command(as_json: bool, keys: tuple[str, ...]) -> int:
    """List events that the lineage server refused, with reason, job and key."""
    from lakehouse import postgres
    from lakehouse.cli.tables import print_table
    from lakehouse.errors import DataError
    from lakehouse.postgres.connect import connect_state
    from lakehouse.settings import load_settings
    from lineage import outbox, outbox_replay

    settings = load_settings()
    with postgres.ready(settings):
        connection = connect_state(settings)
        try:
            gone = outbox_replay.discard(connection, keys) if keys else []
            dead = list(outbox.events(connection, status="dead"))
        finally:
            connection.close()
    if unknown := sorted(set(keys) - set(gone)):
        raise DataError(
            f"No dead letter has the key {', '.join(unknown)}.",
            remedy="`lakehouse lineage dead-letters` lists the keys there are.",
        )
    if as_json:
        found = [
            {
                "key": item.key,
                "run": item.order_key,
                "job": item.job,
                "type": item.type,
                "status": item.last_status,
                "reason": item.last_error,
                "attempts": item.attempts,
                "event_time": item.event_time,
                "event": item.body,
            }
            for item in dead
        ]
        click.echo(json.dumps(found, default=str, indent=2))
    elif dead:
        print_table(
            ["job", "type", "HTTP", "reason", "attempts", "key"],
            [[item.job, item.type, item.last_status, item.last_error, item.attempts, item.key] for item in dead],
            right={"HTTP", "attempts"},
        )
    else:
        click.echo("There are no dead letters.")
    return 1 if dead else 0
