"""Events of a platform that never was, with as many datasets as asked for: for looking at the page and for its tests.

``python tests/lineage/page/synthetic.py 200 out.html`` writes a page to look at.
"""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from lineage.graph import Graph
from lineage.names import Column, Dataset, Field
from lineage.reduce import reduce

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
DOMAINS = ("bioreactor", "commerce", "product", "telemetry", "benefits", "finance", "logistics", "support")
NOUNS = ("customers", "orders", "events", "claims", "sessions", "invoices", "plans", "spans", "users", "batches")
DUCK, POSTGRES = "duckdb://lakehouse", "postgres://127.0.0.1:15432"


class Platform:
    """Collects events, table by table; every table is made by one run of one job."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.columns: dict[Dataset, list[Column]] = {}
        self.events: list[dict[str, Any]] = []

    def make(self, layer: str, domain: str, dataset: Dataset, inputs: list[Dataset], end: str = "COMPLETE") -> Dataset:
        """One table, its columns taken over from its inputs."""
        self.columns[dataset], sources = self._columns(layer, inputs)
        failed = self.random.random() < 0.04
        checks = [
            {"assertion": f"not_null_{column.name}", "success": not (failed and number == 0), "severity": "error"}
            for number, column in enumerate(self.columns[dataset][:4])
        ]
        output = {
            "namespace": dataset.namespace,
            "name": dataset.name,
            "facets": {
                "schema": {"fields": [vars(column) for column in self.columns[dataset]]},
                "columnLineage": {"fields": {name: {"inputFields": told} for name, told in sources.items()}},
                "dataQualityAssertions": {"assertions": checks if layer != "raw" else []},
                "documentation": {
                    "description": f"The {domain} platform's {dataset.name.split('.')[-1]}, one row each."
                },
                "ownership": {"owners": [{"name": f"{domain}@example.com"}]},
                "lakehouse": {"layer": layer, "domain": domain, "kind": "table"},
            },
            "outputFacets": {"outputStatistics": {"rowCount": self.random.randrange(10, 5_000_000), "size": 10**7}},
        }
        name = (
            dataset.name.split(".")[-1] if "." in dataset.name else f"raw_{domain}_{dataset.name.split('/')[-1]}_data"
        )
        job = {
            "namespace": "lakehouse",
            "name": f"lakehouse.{name}",
            "facets": {
                "lakehouse": {"layer": layer, "domain": domain},
                "sql": {"query": f"select *\nfrom {inputs[0].name if inputs else 'nothing'}\nwhere true"},
                "ownership": {"owners": [{"name": f"{domain}@example.com"}]},
            },
        }
        run: dict[str, Any] = {"runId": str(uuid5(NAMESPACE_URL, name)), "facets": {}}
        began = NOW - timedelta(minutes=30 - len(self.events) / 20)
        placed = {"lakehouse": {"layer": "source", "domain": domain, "kind": "file"}}
        read = [
            {"namespace": each.namespace, "name": each.name, "facets": {} if each in self.columns else placed}
            for each in inputs
        ]
        for kind, when in (("START", began), (end, began + timedelta(seconds=self.random.uniform(0.2, 90)))):
            if kind == "FAIL":
                run = {
                    **run,
                    "facets": {"errorMessage": {"message": "Conversion Error: 'n/a' is no DOUBLE\nLINE 4: cast(x)"}},
                }
            self.events.append(
                {
                    "eventType": kind,
                    "eventTime": when.isoformat(),
                    "run": run,
                    "job": job,
                    "inputs": read,
                    "outputs": [output],
                }
            )
        return dataset

    def _columns(self, layer: str, inputs: list[Dataset]) -> tuple[list[Column], dict[str, list[dict[str, str]]]]:
        known = [Field(each, column.name) for each in inputs for column in self.columns.get(each, [])]
        if not known:
            names = ("id", "created_at", "amount", "quantity", "status", "country", "batch_id", "note")
            return [Column(name, "VARCHAR", f"As delivered: {name}.") for name in names], {}
        picked = self.random.sample(known, min(len(known), 7))
        columns, sources = [], {}
        for number, field in enumerate(picked):
            name = field.column if field.column not in sources else f"{field.column}_{number}"
            told = [field, *self.random.sample(known, 1)] if number == 0 and layer in ("curated", "mart") else [field]
            sources[name] = [
                {"namespace": each.dataset.namespace, "name": each.dataset.name, "field": each.column} for each in told
            ]
            columns.append(Column(name, "DOUBLE", f"From {field.column}."))
        return columns, sources


def synthetic_events(datasets: int, seed: int = 7) -> list[dict[str, Any]]:
    """Events after which a graph has about this many datasets (never fewer, at most 12 more)."""
    platform = Platform(seed)
    draw = platform.random
    domains = DOMAINS[: max(1, min(len(DOMAINS), datasets // 12))]
    made: dict[str, dict[str, list[Dataset]]] = {domain: {} for domain in domains}

    def total() -> int:
        return len(set(platform.columns) | {each for event in platform.events for each in _mentioned(event)})

    number = 0
    while total() < datasets:
        domain = domains[number % len(domains)]
        noun = NOUNS[number // len(domains) % len(NOUNS)] + (
            "" if number // len(domains) < len(NOUNS) else f"_{number}"
        )
        own = made[domain]
        dropped = Dataset("file", f"/srv/lake/raw/{domain}/{noun}/*.parquet")
        raw = platform.make("raw", domain, Dataset("file", f"/srv/lake/raw/{domain}/{noun}"), [dropped])
        stg = platform.make("staging", domain, Dataset(DUCK, f"lakehouse.staging.stg_{domain}__{noun}"), [raw])
        own.setdefault("staging", []).append(stg)
        middle = [stg, *draw.sample(own["staging"], min(len(own["staging"]), 1))]
        joined = platform.make(
            "intermediate", domain, Dataset(DUCK, f"lakehouse.intermediate.int_{domain}_{noun}"), middle
        )
        end = "FAIL" if draw.random() < 0.06 else "COMPLETE"
        below = [joined, *draw.sample(own.get("curated", []), min(len(own.get("curated", [])), 1))]
        dim = platform.make("curated", domain, Dataset(DUCK, f"lakehouse.curated.fct_{domain}_{noun}"), below, end)
        own.setdefault("curated", []).append(dim)
        after = "ABORT" if end == "FAIL" else "COMPLETE"
        mart = platform.make("mart", domain, Dataset(POSTGRES, f"marts.marts.mart_{domain}_{noun}"), [dim], after)
        if number % 3 == 0:
            exposure = Dataset("exposure://lakehouse", f"dashboard.{domain}_{noun}")
            platform.make("exposure", domain, exposure, [mart])
        number += 1
    return platform.events


def synthetic_graph(datasets: int, seed: int = 7) -> Graph:
    """The graph after :func:`synthetic_events`."""
    return reduce(synthetic_events(datasets, seed))


def _mentioned(event: dict[str, Any]) -> list[Dataset]:
    return [Dataset(each["namespace"], each["name"]) for each in [*event["inputs"], *event["outputs"]]]


if __name__ == "__main__":
    from lineage.page.build import html

    Path(sys.argv[2]).write_text(html(synthetic_graph(int(sys.argv[1])), made_at=NOW), encoding="utf-8")
