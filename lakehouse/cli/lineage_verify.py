"""``lakehouse lineage verify``: the recorded graph beside what is declared, and beside the lineage server's."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lineage.verify import Finding

SERVER_ENDPOINT = "/api/v1/lineage"
"""Where a Marquez takes events; what is before it is its address."""


@click.command(
    epilog="""\b
Examples:
  lakehouse lineage verify
  OPENLINEAGE_URL=http://localhost:5000 lakehouse lineage verify --json
Exit code 0 when nothing differs, 1 when something does.
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> int:
    """Compare the recorded graph with what the code declares, and with the Marquez that OPENLINEAGE_URL names."""
    report = collect()
    if as_json:
        click.echo(json.dumps(report, default=dataclasses.asdict, indent=2))
    else:
        _print(report)
    return 1 if report["declared"] or report["server"] else 0


def collect() -> dict[str, Any]:
    """The report as plain data.

    Returns:
        ``datasets`` and ``jobs`` (how many are recorded), ``declared`` (findings against the code), ``server``
        (findings against the server; None where none was asked), ``address`` of the server, ``pending`` events.

    Raises:
        ConfigError: the server does not let us read.
        UnavailableError: it does not answer.
    """
    from lakehouse import postgres
    from lakehouse.postgres.connect import connect_state
    from lakehouse.settings import load_settings
    from lineage import backlog
    from lineage.newest import outbox_graph
    from lineage.openlineage_config import HttpTarget, target
    from lineage.verify import against_catalog, against_server

    settings = load_settings()
    goal = target()
    address = goal.url.removesuffix(SERVER_ENDPOINT) if isinstance(goal, HttpTarget) else None
    with postgres.ready(settings):
        from orchestration.lineage.known import present_catalog

        connection = connect_state(settings)
        try:
            catalog = present_catalog(connection, settings)
            graph = outbox_graph(connection)
            pending = backlog.standing(connection).pending if address else 0
        finally:
            connection.close()
    server = None
    if isinstance(goal, HttpTarget) and address:
        from lineage.marquez import from_marquez

        # With the key, headers and certificates that events are sent with.
        there = from_marquez(dataclasses.replace(goal, url=address), catalog.job_namespace)
        server = against_server(graph, there)
    return {
        "datasets": len(graph.datasets),
        "jobs": len(graph.jobs),
        "declared": against_catalog(graph, catalog),
        "address": address,
        "pending": pending,
        "server": server,
    }


def _print(report: dict[str, Any]) -> None:
    click.echo(f"Recorded: {report['datasets']} datasets, {report['jobs']} jobs.")
    _findings("The declared graph", report["declared"])
    if report["address"] is None:
        click.echo("No lineage server is set (OPENLINEAGE_URL): nothing else to compare with.")
        return
    if report["pending"]:
        click.echo(
            f"{report['pending']} events are still to be delivered to {report['address']}; until then it differs."
        )
    _findings(f"The graph of {report['address']}", report["server"])


def _findings(what: str, findings: list[Finding]) -> None:
    if not findings:
        click.echo(click.style(f"{what} is the same.", fg="green"))
        return
    click.echo(click.style(f"{what} differs in {len(findings)}:", fg="red"))
    for finding in findings:
        click.echo(f"  {finding.kind:16} {finding.subject}: {finding.text}")
