"""The graph that must come out, told by dbt's manifest and the source declarations alone.

Nothing here uses the code that makes events: what both would get wrong alike would not be noticed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from platforms import ROOT, Platform

from lineage.graph import JobId
from lineage.names import Dataset


@dataclass
class Expected:
    """What is expected of a platform.

    Attributes:
        assets: asset → its job.
        reads, writes: edges of all jobs that are expected, exposures too.
        sources: datasets that no job writes.
        exposures: jobs that never run.
    """

    assets: dict[str, JobId] = field(default_factory=dict)
    reads: set[tuple[Dataset, JobId]] = field(default_factory=set)
    writes: set[tuple[JobId, Dataset]] = field(default_factory=set)
    sources: set[Dataset] = field(default_factory=set)
    exposures: set[JobId] = field(default_factory=set)

    @property
    def datasets(self) -> set[Dataset]:
        """All of them."""
        return {dataset for dataset, _ in self.reads} | {dataset for _, dataset in self.writes}

    def outputs(self, asset: str) -> set[Dataset]:
        """What an asset writes."""
        return {dataset for job, dataset in self.writes if job == self.assets[asset]}


def expected_graph(platform: Platform, manifest: dict[str, Any], namespace: str) -> Expected:
    """Read the manifest and ``ingestion/sources/*.yml``.

    Args:
        platform: it knows its folders and ports.
        manifest: dbt's, of target postgres.
        namespace: of the jobs.
    """
    expected = Expected()
    lake, warehouse = platform.home / "lake", platform.settings.warehouse.stem
    raw: dict[str, Dataset] = {}
    ledgers: dict[str, Dataset] = {}
    for file in sorted((ROOT / "ingestion" / "sources").glob("*.yml")):
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert told["kind"] == "drop_zone", f"{file.name}: a kind of source that this proof does not know yet"
        job = expected.assets[told["asset"]] = JobId(namespace, f"lakehouse.{told['asset']}")
        dropped = Dataset("file", str(lake / told["path"] / told["pattern"]))
        raw[told["source"]] = Dataset("file", str(lake / told["path"]))
        ledgers[told["source"]] = Dataset("file", str(lake / "raw" / "_ledger" / f"{told['source']}.parquet"))
        expected.sources.add(dropped)
        expected.reads.add((dropped, job))
        expected.writes |= {(job, raw[told["source"]]), (job, ledgers[told["source"]])}

    models = {key: node for key, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    outputs = {key: _relation(node, platform, warehouse) for key, node in models.items()}

    def inputs(node: dict[str, Any]) -> set[Dataset]:
        found = {outputs[key] for key in node["depends_on"]["nodes"] if key in outputs}
        for key in node["depends_on"]["nodes"]:
            if key.startswith("source."):
                # Which of a source's two datasets a model reads stands in its SQL: its files, or their register.
                found.add((ledgers if re.search(r"{{\s*ledger\(", node["raw_code"]) else raw)[key.split(".")[2]])
        return found

    for key, node in models.items():
        job = expected.assets[node["name"]] = JobId(namespace, f"lakehouse.{node['name']}")
        expected.writes.add((job, outputs[key]))
        expected.reads |= {(dataset, job) for dataset in inputs(node)}
    for exposure in manifest["exposures"].values():
        job = JobId(namespace, f"exposure.{exposure['name']}")
        expected.exposures.add(job)
        expected.writes.add((job, Dataset("exposure://lakehouse", f"{exposure['type']}.{exposure['name']}")))
        expected.reads |= {(outputs[key], job) for key in exposure["depends_on"]["nodes"]}
    return expected


def _relation(node: dict[str, Any], platform: Platform, warehouse: str) -> Dataset:
    if "mart" in node["tags"]:
        port = platform.variables["LAKEHOUSE_POSTGRES_PORT"]
        return Dataset(f"postgres://127.0.0.1:{port}", f"lakehouse.{node['schema']}.{node['alias']}")
    return Dataset("duckdb://lakehouse", f"{warehouse}.{node['schema']}.{node['alias']}")


def manifest_of(platform: Platform) -> dict[str, Any]:
    """The manifest that the platform's runs were made with."""
    newest = max(platform.home.rglob("manifest.json"), key=lambda path: path.stat().st_mtime)
    found: dict[str, Any] = json.loads(Path(newest).read_text(encoding="utf-8"))
    return found
