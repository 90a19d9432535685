"""``lakehouse lineage``: the list of its commands; each is a module ``lineage_<name>`` that is imported when called."""

from __future__ import annotations

import click

from lakehouse.cli.lazy import LazyCommands

COMMANDS = {
    "show": "What a dataset or column is made from, and what is made from it.",
    "open": "The whole graph as a page in the browser; no network.",
    "status": "What is recorded, delivered, waiting and refused.",
    "dead-letters": "Events that the lineage server refused, and why.",
    "replay": "Deliver events again.",
    "drain": "Deliver what waits and what comes (--once: what waits).",
    "sync": "Bring descriptions, owners and exposures to the lineage server, even if nothing ran.",
    "verify": "Compare the graph with what is declared, and with the lineage server.",
}


@click.group(cls=LazyCommands, commands=COMMANDS, prefix="lakehouse.cli.lineage_")
def command() -> None:
    """Where data comes from and goes to, and how events get to a lineage server.

    \b
    Example:
      lakehouse lineage show mart_bioreactor_overview.avg_value --up
    """
