"""Reading a Marquez: which of its answers are believed, and what is said when it gives none.

The server is a real one over HTTP that answers in Marquez's words; that these are Marquez's words is what the tests
with a real Marquez beside this file show.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from platforms import free_port

from lakehouse.errors import LakehouseError, UnavailableError
from lineage.graph import ColumnEdge, JobId
from lineage.marquez import PAGE, from_marquez
from lineage.names import Dataset, Field

DUCKDB = "duckdb://lakehouse"
OLD, NEW, OUT = (Dataset(DUCKDB, f"lake.main.{name}") for name in ("old", "new", "out"))


class Server(ThreadingHTTPServer):
    """Answers with what stands under a path and, of lineage, under the node."""

    daemon_threads = True
    answers: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        found = self.server.answers.get(unquote(asked.path) + query.get("nodeId", ""), 404)
        if isinstance(found, dict) and "limit" in query:
            first, count = int(query["offset"]), int(query["limit"])
            found = {key: items[first : first + count] for key, items in found.items()}
        self.send_response(found if isinstance(found, int) else 200)
        self.end_headers()
        self.wfile.write(b"" if isinstance(found, int) else json.dumps(found).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.answers = {}
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


def told(dataset: Dataset) -> dict[str, str]:
    return {"namespace": dataset.namespace, "name": dataset.name}


def add_job(server: Server, name: str, **more: Any) -> dict[str, Any]:
    """A job without runs; what the list says of it."""
    listed = {"namespace": "ours", "name": name, "facets": {}, "latestRun": None, "parentJobName": None}
    listed |= {"description": None} | more
    job = f"/api/v1/namespaces/ours/jobs/{name}"
    server.answers |= {job: listed, f"{job}/runs": {"runs": []}, f"/api/v1/lineagejob:ours:{name}": {"graph": []}}
    server.answers.setdefault("/api/v1/namespaces/ours/jobs", {"jobs": []})["jobs"].append(listed)
    return listed


def add_dataset(server: Server, dataset: Dataset) -> None:
    """A dataset that no run has written."""
    path = f"/api/v1/namespaces/{dataset.namespace}/datasets/{dataset.name}"
    empty = {"currentVersion": None, "fields": [], "facets": {}, "deleted": False, "description": None}
    server.answers |= {path: empty, f"{path}/versions": {"versions": []}}


def field_node(field: Field, *sources: Field) -> dict[str, Any]:
    """A column of a column graph; its ``inputFields`` name one source only, as Marquez's do."""

    def node_id(of: Field) -> str:
        return f"datasetField:{of.dataset.namespace}:{of.dataset.name}:{of.column}"

    data = {"namespace": field.dataset.namespace, "dataset": field.dataset.name, "field": field.column}
    data["inputFields"] = [{"field": source.column} for source in sources[:1]]
    edges = [{"origin": node_id(field), "destination": node_id(source)} for source in sources]
    return {"id": node_id(field), "data": data, "inEdges": edges}


def test_edges_are_those_of_the_picture_and_not_of_the_list(server: Server) -> None:
    add_job(server, "model", inputs=[told(OLD)], outputs=[told(OUT)])
    data = {"name": "model", "inputs": [told(NEW)], "outputs": [told(OUT)]}
    server.answers["/api/v1/lineagejob:ours:model"] = {
        "graph": [{"type": "DATASET", "data": told(NEW)}, {"type": "JOB", "data": data}]
    }
    for dataset in (NEW, OUT):
        add_dataset(server, dataset)
    graph = from_marquez(address(server), "ours")
    job = graph.jobs[JobId("ours", "model")]
    assert (job.inputs, job.outputs) == ({NEW}, {OUT})
    assert set(graph.datasets) == {NEW, OUT}
    assert graph.columns == set(), "a dataset without a column graph answers 404"


def test_all_sources_of_a_column_are_read(server: Server) -> None:
    add_job(server, "model")
    data = {"name": "model", "inputs": [told(OLD), told(NEW)], "outputs": [told(OUT)]}
    server.answers["/api/v1/lineagejob:ours:model"] = {"graph": [{"type": "JOB", "data": data}]}
    for dataset in (OLD, NEW, OUT):
        add_dataset(server, dataset)
    total, one, other = Field(OUT, "total"), Field(OLD, "amount"), Field(NEW, "amount")
    server.answers[f"/api/v1/column-lineagedataset:{DUCKDB}:{OUT.name}"] = {
        "graph": [field_node(total, one, other), field_node(one), field_node(other)]
    }
    assert from_marquez(address(server), "ours").columns == {ColumnEdge(one, total), ColumnEdge(other, total)}


def test_every_page_of_a_list_is_read(server: Server) -> None:
    names = {f"job{number}" for number in range(2 * PAGE + 1)}
    for name in sorted(names):
        add_job(server, name)
    assert {job.name for job in from_marquez(address(server), "ours").jobs} == names


def test_a_namespace_that_the_server_does_not_know_is_named(server: Server) -> None:
    with pytest.raises(LakehouseError, match=r"Marquez has nothing at /namespaces/ours/jobs.* \(404\)"):
        from_marquez(address(server), "ours")


def test_an_error_of_the_server_is_told_as_its_own(server: Server) -> None:
    server.answers["/api/v1/namespaces/ours/jobs"] = 500
    with pytest.raises(UnavailableError, match="Marquez answered 500 to /namespaces/ours/jobs"):
        from_marquez(address(server), "ours")


def test_a_server_that_is_away_is_named() -> None:
    port = free_port()
    with pytest.raises(UnavailableError, match=f"Marquez at http://127.0.0.1:{port}/api/v1 does not answer"):
        from_marquez(f"http://127.0.0.1:{port}", "ours")
