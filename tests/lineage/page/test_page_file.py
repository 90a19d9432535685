"""The page as a file: whole, safe to embed anything in, and without any address of another host."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

from synthetic import NOW, synthetic_graph

from lineage.graph import DatasetNode, Graph
from lineage.names import Dataset
from lineage.page.build import html
from lineage.page.model import page_model

NASTY = "</script><!-- <script> \u2028 \u2029 \ud800 \\ \" ' & {{script}} {{style}} é漢😀"


class Scripts(HTMLParser):
    """Collects the text of every script element, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self.policy = ""
        self.inside = False

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action") and value]
        if tag == "script":
            self.scripts.append((told, ""))
            self.inside = True
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = told["content"] or ""

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "script"

    def handle_data(self, data):
        if self.inside:
            told, text = self.scripts[-1]
            self.scripts[-1] = (told, text + data)


def parsed(page: str) -> Scripts:
    scripts = Scripts()
    scripts.feed(page)
    return scripts


def test_anything_can_stand_in_the_data_and_comes_out_as_it_went_in():
    node = DatasetNode(Dataset("file", f"/raw/{NASTY}"), description=NASTY)
    page = html(Graph({}, {node.id: node}), made_at=NOW)
    page.encode("utf-8")
    scripts = parsed(page).scripts
    assert len(scripts) == 3
    data = json.loads(scripts[0][1])
    assert data["datasets"][0]["description"] == NASTY
    assert data["datasets"][0]["name"] == f"/raw/{NASTY}"


def test_no_address_of_another_host_is_in_the_page():
    page = html(synthetic_graph(10), made_at=NOW)
    assert parsed(page).addresses == []
    for asset in resources.files("lineage.page").joinpath("assets").iterdir():
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", asset.read_text(encoding="utf-8"))
        assert set(found) <= {"http://www.w3.org/2000/svg"}, asset.name


def test_the_policy_allows_this_script_and_no_network():
    seen = parsed(html(synthetic_graph(10), made_at=NOW))
    module = next(text for told, text in seen.scripts if told.get("type") == "module")
    digest = base64.b64encode(hashlib.sha256(module.encode()).digest()).decode()
    assert "default-src 'none'" in seen.policy
    assert f"script-src 'sha256-{digest}' blob: 'wasm-unsafe-eval'" in seen.policy
    assert "connect-src" not in seen.policy  # so default-src counts: nothing


def test_the_model_has_every_dataset_edge_and_column_edge():
    graph = synthetic_graph(40)
    model = page_model(graph, made_at=NOW)
    names = [Dataset(each["namespace"], each["name"]) for each in model["datasets"]]
    assert set(names) == set(graph.datasets)
    assert {(names[a], names[b]) for a, b, _ in model["edges"]} == {
        (a, b) for a in graph.datasets for b in graph.downstream(a)
    }
    assert len(model["columns"]) == len(graph.columns)
    assert model["layers"] == ["source", "raw", "staging", "intermediate", "curated", "mart", "exposure"]
