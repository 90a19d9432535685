"""Whether the recorded graph is what is declared, and whether a lineage server shows the same.

What belongs here: comparing graphs with each other and with the catalog, as findings that a person can act on. What
does not: getting the graphs (:mod:`lineage.newest`, :mod:`lineage.marquez`) or printing them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lineage import naming
from lineage.catalog import Catalog, Job
from lineage.graph import ENDED, Graph, JobId
from lineage.names import Dataset
from lineage.paths import short_name


@dataclass(frozen=True)
class Finding:
    """One difference.

    Attributes:
        kind: ``job missing``, ``job extra``, ``edge missing``, ``edge extra``, ``phantom dataset``,
            ``dataset missing``, ``unfinished``, ``stale``, ``state``, ``version`` or ``column``.
        subject: the job or dataset it is about.
        text: what differs.
    """

    kind: str
    subject: str
    text: str


def against_catalog(graph: Graph, catalog: Catalog) -> list[Finding]:
    """What the recorded graph has other than what is declared, and what in it is unfinished or out of date.

    Args:
        graph: of the outbox.
        catalog: of the present code.
    """
    declared = {job_id(catalog, job): job for job in catalog.jobs.values()}
    own = {JobId(catalog.job_namespace, name) for name in (catalog.parent_job, naming.SYNC_JOB)}
    findings: list[Finding] = []
    for known, job in declared.items():
        node = graph.jobs.get(known)
        if node is None:
            text = "it is declared, and nothing is recorded of it: run it, or `lakehouse lineage sync`"
            findings.append(Finding("job missing", job.name, text))
            continue
        findings += _edges(job.name, "reads", frozenset(job.inputs), node.inputs)
        findings += _edges(job.name, "writes", frozenset(job.outputs), node.outputs)
    for known, node in sorted(graph.jobs.items()):
        if known not in declared and known not in own and (node.inputs or node.outputs):
            findings.append(
                Finding("job extra", node.simple_name, "it is recorded with edges, and no code declares it")
            )
        if node.latest is not None and node.latest.state not in ENDED:
            text = f"its last run {node.latest.run_id} is {node.latest.state}, and no end of it is recorded"
            findings.append(Finding("unfinished", node.simple_name, text))
    touched = {dataset for node in graph.jobs.values() for dataset in node.inputs | node.outputs}
    for dataset in sorted(graph.datasets):
        if dataset not in catalog.datasets and (dataset in touched or not graph.datasets[dataset].deleted):
            findings.append(Finding("phantom dataset", short_name(dataset), f"{dataset} is recorded and not declared"))
    return findings + list(_stale(graph))


def against_server(graph: Graph, server: Graph) -> list[Finding]:
    """What a lineage server shows other than the recorded graph.

    What a server knows more of is no difference where it only remembers: runs and versions that the outbox has
    forgotten, and column edges, which a server never forgets.

    Args:
        graph: of the outbox.
        server: read from the server, of the same job namespace.
    """
    findings: list[Finding] = []
    for known, node in sorted(graph.jobs.items()):
        if known not in server.jobs:
            findings.append(Finding("job missing", node.simple_name, "the server does not know it"))
            continue
        there = server.jobs[known]
        findings += _edges(node.simple_name, "reads", node.inputs, there.inputs)
        findings += _edges(node.simple_name, "writes", node.outputs, there.outputs)
        here_state = node.latest.state if node.latest else None
        there_state = there.latest.state if there.latest else None
        if here_state != there_state:
            text = f"its last run is {here_state or 'none'} here and {there_state or 'none'} on the server"
            findings.append(Finding("state", node.simple_name, text))
    for known, node in sorted(server.jobs.items()):
        if known not in graph.jobs:
            findings.append(Finding("job extra", node.simple_name, "the server has it, and nothing is recorded of it"))
    touched = {dataset for node in graph.jobs.values() for dataset in node.inputs | node.outputs}
    for dataset in sorted(touched):
        findings += _dataset(dataset, graph, server)
    for edge in sorted(graph.columns - server.columns):
        if edge.source.dataset in touched and edge.target.dataset in touched:
            source = f"{short_name(edge.source.dataset)}.{edge.source.column}"
            target = f"{short_name(edge.target.dataset)}.{edge.target.column}"
            findings.append(Finding("column", target, f"the server does not know that it comes from {source}"))
    return findings


def job_id(catalog: Catalog, job: Job) -> JobId:
    """The identity under which a declared job is told."""
    name = naming.event_job(job.asset_key) if job.asset_key else job.name
    return JobId(catalog.job_namespace, name)


def _dataset(dataset: Dataset, graph: Graph, server: Graph) -> Iterator[Finding]:
    name = short_name(dataset)
    if dataset not in server.datasets:
        yield Finding("dataset missing", name, f"the server does not know {dataset}")
        return
    here, there = graph.datasets[dataset].current, server.datasets[dataset].current
    runs = [version.run_id if version else None for version in (here, there)]
    if runs[0] != runs[1]:
        yield Finding("version", name, f"written last by run {runs[0] or 'none'} here and {runs[1] or 'none'} there")
    columns = [
        {(column.name, column.type) for column in node.columns}
        for node in (graph.datasets[dataset], server.datasets[dataset])
    ]
    if columns[0] != columns[1]:
        differ = ", ".join(sorted({column for column, _ in columns[0] ^ columns[1]}))
        yield Finding("column", name, f"its columns differ on the server: {differ}")


def _edges(job: str, verb: str, wanted: frozenset[Dataset], found: frozenset[Dataset]) -> Iterator[Finding]:
    for dataset in sorted(wanted - found):
        yield Finding("edge missing", job, f"it {verb} {dataset}, and that edge is not there")
    for dataset in sorted(found - wanted):
        yield Finding("edge extra", job, f"an edge says that it {verb} {dataset}")


def _stale(graph: Graph) -> Iterator[Finding]:
    """Datasets whose current version is older than that of something they are made from."""
    for dataset, node in sorted(graph.datasets.items()):
        if node.current is None or node.current.run_id is None:
            continue
        for above in graph.upstream(dataset):
            newer = graph.datasets[above].current
            if newer and newer.run_id and newer.created_at > node.current.created_at:
                text = f"its current version is older than that of {short_name(above)}, which it is made from"
                yield Finding("stale", short_name(dataset), text)
                break
