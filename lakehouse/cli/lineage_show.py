"""``lakehouse lineage show``: what a dataset or a column is made from, and what is made from it, as a tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from lineage.graph import Graph, Run
    from lineage.names import Dataset, Field

STATES = {
    "COMPLETED": ("completed", "green"),
    "FAILED": ("failed", "red"),
    "ABORTED": ("aborted", "yellow"),
    "RUNNING": ("running", "cyan"),
    "NEW": ("new", "cyan"),
}


@dataclass(frozen=True)
class _Asked:
    """One step of a tree: a dataset or a column of it."""

    dataset: Dataset
    column: str | None = None


@click.command(
    epilog="""\b
Examples:
  lakehouse lineage show mart_bioreactor_overview
  lakehouse lineage show dim_batch --down
  lakehouse lineage show mart_bioreactor_overview.batch_start --up
  lakehouse lineage show raw/bioreactor --depth 2 --json
Exit code 0 when it is known, 2 when no dataset or column is called so.
"""
)
@click.argument("name")
@click.option("--up", is_flag=True, help="Only what it is made from.")
@click.option("--down", is_flag=True, help="Only what is made from it.")
@click.option("--depth", type=click.IntRange(min=1), help="How many steps; all by default.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str, up: bool, down: bool, depth: int | None, as_json: bool) -> int:
    """Show where the dataset or column NAME comes from and goes to.

    NAME is a dataset (`dim_batch`, `raw/bioreactor`, `curated.dim_batch`) or a column of one (`dim_batch.batch_start`).
    """
    graph = load_graph()
    asked = resolve(graph, name)
    both = up == down
    ways = [way for way, wanted in (("up", up or both), ("down", down or both)) if wanted]
    if as_json:
        click.echo(json.dumps(_plain(graph, asked, ways, depth), indent=2))
    else:
        _print(graph, asked, ways, depth)
    return 0


def load_graph() -> Graph:
    """The graph of the outbox.

    Raises:
        DataError: nothing is recorded yet.
    """
    from lakehouse import postgres
    from lakehouse.errors import DataError
    from lakehouse.postgres.connect import connect_state
    from lakehouse.settings import load_settings
    from lineage.newest import outbox_graph

    settings = load_settings()
    with postgres.ready(settings):
        connection = connect_state(settings)
        try:
            graph = outbox_graph(connection)
        finally:
            connection.close()
    if not graph.datasets:
        raise DataError(
            "No lineage is recorded yet.",
            remedy="Run `lakehouse run`; a run is recorded when it has ended, with or without a lineage server.",
        )
    return graph


def resolve(graph: Graph, name: str) -> _Asked:
    """What a typed name means.

    Args:
        graph: what there is.
        name: a dataset, or a dataset, a dot and one of its columns.

    Raises:
        ConfigError: nothing or several things are called so; names them.
    """
    from lakehouse.errors import ConfigError
    from lineage.paths import matching, place, short_name, similar

    readings: list[tuple[str, str | None]] = [(name, None)]
    if "." in name:
        readings.append((name.rpartition(".")[0], name.rpartition(".")[2]))
    for table, column in readings:
        found = matching(graph.datasets, table)
        if column is not None:
            found = [each for each in found if _column(graph, each, column)] or found
        if len(found) > 1:
            choices = ", ".join(f"{each.name} ({place(each)})" for each in found)
            raise ConfigError(f"Several datasets are called {table}.", remedy=f"Give one of these: {choices}.")
        if found and column is not None:
            spelled = _column(graph, found[0], column)
            if spelled is None:
                columns = ", ".join(each.name for each in graph.datasets[found[0]].columns) or "unknown"
                raise ConfigError(f"{short_name(found[0])} has no column {column}.", remedy=f"Its columns: {columns}.")
            return _Asked(found[0], spelled)
        if found:
            return _Asked(found[0])
    close = similar(graph.datasets, name) or similar(graph.datasets, name.rpartition(".")[0])
    hint = (
        f"Did you mean {', '.join(close)}?"
        if close
        else f"Known: {', '.join(sorted(map(short_name, graph.datasets)))}."
    )
    raise ConfigError(f"The lineage knows no dataset {name}.", remedy=hint)


def _column(graph: Graph, dataset: Dataset, column: str) -> str | None:
    """The column as it is spelled; None where there is none."""
    names = {each.name for each in graph.datasets[dataset].columns}
    names |= {
        field.column for edge in graph.columns for field in (edge.source, edge.target) if field.dataset == dataset
    }
    return next((each for each in sorted(names) if each.lower() == column.lower()), None)


def _next(graph: Graph, asked: _Asked, way: str) -> list[_Asked]:
    from lineage.names import Field

    if asked.column is None:
        datasets = graph.upstream(asked.dataset) if way == "up" else graph.downstream(asked.dataset)
        return [_Asked(each) for each in datasets]
    here = Field(asked.dataset, asked.column)
    fields: tuple[Field, ...] = graph.column_sources(here) if way == "up" else graph.column_targets(here)
    return [_Asked(each.dataset, each.column) for each in fields]


def last_run(graph: Graph, dataset: Dataset) -> Run | None:
    """The latest run of the jobs that write a dataset."""
    runs = [job.latest for job in graph.writers(dataset) if job.latest is not None]
    return max(runs, key=lambda run: run.ended_at or run.started_at or datetime.min.replace(tzinfo=UTC), default=None)


def _plain(graph: Graph, asked: _Asked, ways: list[str], depth: int | None) -> dict[str, Any]:
    from lineage.paths import short_name

    node, run = graph.datasets[asked.dataset], last_run(graph, asked.dataset)
    told: dict[str, Any] = {
        "name": short_name(asked.dataset),
        "column": asked.column,
        "namespace": asked.dataset.namespace,
        "full_name": asked.dataset.name,
        "layer": node.layer,
        "state": run.state if run else None,
        "ended_at": run.ended_at.isoformat() if run and run.ended_at else None,
        "error": run.error if run else None,
        "checks": len(node.assertions),
        "failed_checks": [check.name for check in node.assertions if not check.passed],
        "deleted": node.deleted,
    }
    for way in ways:
        told[way] = list(_steps(graph, asked, way, depth))
    return told


def _steps(graph: Graph, asked: _Asked, way: str, depth: int | None) -> Iterator[dict[str, Any]]:
    """All that is reached, nearest first, each once, with how many steps away it is."""
    from lineage.paths import short_name

    seen, edge, steps = {asked}, [asked], 0
    while edge and (depth is None or steps < depth):
        steps += 1
        found = [each for here in edge for each in _next(graph, here, way)]
        edge = [each for each in dict.fromkeys(found) if each not in seen]
        seen.update(edge)
        for each in edge:
            yield {
                "name": short_name(each.dataset),
                "column": each.column,
                "namespace": each.dataset.namespace,
                "full_name": each.dataset.name,
                "layer": graph.datasets[each.dataset].layer if each.dataset in graph.datasets else "",
                "steps": steps,
            }


def _print(graph: Graph, asked: _Asked, ways: list[str], depth: int | None) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 200)  # a pipe has no width; never cut what a script may read
    titles = {"up": "made from", "down": "goes into"}
    root = Tree(_line(graph, asked))
    for way in ways:
        branch = root.add(Text(titles[way], style="bold"))
        seen: set[_Asked] = {asked}
        _grow(graph, asked, way, depth, branch, seen)
        if not branch.children:
            what = "a source: nothing that is known writes it" if way == "up" else "nothing that is known reads it"
            branch.add(Text(what if asked.column is None else "no column that is known", style="dim"))
    console.print(root)


def _grow(graph: Graph, asked: _Asked, way: str, depth: int | None, branch: Tree, seen: set[_Asked]) -> None:
    from rich.text import Text

    if depth == 0:
        return
    for each in _next(graph, asked, way):
        if each in seen:
            branch.add(Text.assemble(_title(each), (" (see above)", "dim")))
            continue
        seen.add(each)
        _grow(graph, each, way, None if depth is None else depth - 1, branch.add(_line(graph, each)), seen)


def _title(asked: _Asked) -> Text:
    from rich.text import Text

    from lineage.paths import short_name

    name = short_name(asked.dataset)
    return Text(name if asked.column is None else f"{name}.{asked.column}", style="bold")


def _line(graph: Graph, asked: _Asked) -> Text:
    """``dim_batch  curated · completed 5 min ago · 12 checks``."""
    from rich.text import Text

    node = graph.datasets.get(asked.dataset)
    line = _title(asked)
    if node is None:
        return line
    parts = [Text(node.layer or "no layer", style="dim")]
    run = last_run(graph, asked.dataset)
    if run is not None:
        word, colour = STATES[run.state]
        parts.append(Text(f"{word} {_age(run.ended_at or run.started_at)}".strip(), style=colour))
    failed = [check for check in node.assertions if not check.passed]
    if failed:
        names = ", ".join(check.name for check in failed[:3]) + (" …" if len(failed) > 3 else "")
        parts.append(Text(f"{len(failed)} of {len(node.assertions)} checks failed: {names}", style="red"))
    elif node.assertions:
        parts.append(Text(f"{len(node.assertions)} checks", style="dim"))
    if node.deleted:
        parts.append(Text("deleted", style="red"))
    line.append("  ")
    line.append_text(Text(" · ", style="dim").join(parts))
    if run is not None and run.error and run.state == "FAILED":
        told = [text.strip() for text in run.error.splitlines() if text.strip()][:2]  # dbt's first line names the model
        line.append("".join(f"\n{text[:200]}" for text in told), style="red")
    return line


def _age(at: datetime | None) -> str:
    if at is None:
        return ""
    seconds = max((datetime.now(UTC) - at).total_seconds(), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"
