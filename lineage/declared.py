"""The catalog, from dbt's manifest and the settings alone: what every job reads and writes, whether or not it ever ran.

What belongs here: reading the manifest. What does not: spelling identities (:mod:`lineage.naming`), reading SQL
(:mod:`lineage.columns`). Nothing here knows a source, model or domain by name: sources are told by the ``meta`` that
``ingestion.dbt_sources`` writes, models by dbt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from lineage import naming
from lineage.catalog import Catalog, DatasetInfo, Job, Kind, Transformed
from lineage.names import Column, Dataset

if TYPE_CHECKING:
    from lakehouse.settings import Settings

ASSETS = frozenset({"model", "seed", "snapshot"})
LEDGER_COLUMNS = (
    Column("file_key", "VARCHAR", "The file's key below the lake's root."),
    Column("batch_key", "VARCHAR", "Deterministic key of this version of the file."),
    Column("fingerprint", "VARCHAR", "Fingerprint of the file's content."),
    Column("arrival_seq", "BIGINT", "Number of the arrival; later arrivals have higher ones."),
    Column("ingested_at", "TIMESTAMP", "When the file was accepted, UTC."),
    Column("row_count", "BIGINT", "Rows in the file."),
    Column("batch_ids", "VARCHAR[]", "Batches that the file holds."),
    Column("read_key", "VARCHAR", "Where its content is read: its key, or that of its kept copy."),
)
"""Columns of the ledger's copy, as ``ingestion.ledger_export`` writes it (a test compares)."""
LAKE_MACRO, LEDGER_MACRO = "lake_rows", "ledger"
"""The two macros through which a model reads a source: its files, or the ledger's copy that names them."""

Columns = Mapping[str, Mapping[str, tuple[Transformed, ...]]]


def catalog(
    manifest: Mapping[str, Any],
    settings: Settings,
    columns: Columns | None = None,
    sql: Mapping[str, str] | None = None,
    *,
    job_namespace: str | None = None,
) -> Catalog:
    """All jobs and datasets of this code and these settings.

    Args:
        manifest: dbt's manifest.json, parsed under target postgres (``lakehouse.dbt.manifest.ensure_manifest``).
        settings: they decide the namespaces.
        columns: column lineage by asset key, as :func:`lineage.columns.column_lineage` gives it.
        sql: compiled SQL of the last build by asset key.
        job_namespace: default as :func:`lineage.naming.job_namespace`.
    """
    maker = _Maker(manifest, settings)
    for source in manifest["sources"].values():
        maker.source(source)
    for node_id in maker.ordered():
        maker.model(manifest["nodes"][node_id])
    for exposure in manifest["exposures"].values():
        maker.exposure(exposure)
    jobs = {
        name: replace(job, columns=(columns or {}).get(name, {}), sql=(sql or {}).get(name))
        for name, job in maker.jobs.items()
    }
    namespace = job_namespace or naming.job_namespace()
    return Catalog(namespace, naming.PARENT_JOB, jobs, maker.datasets, _version(namespace, jobs, maker.datasets))


def relations(manifest: Mapping[str, Any], settings: Settings) -> dict[str, Dataset]:
    """What names in compiled SQL stand for: ``database.schema.identifier``, lower case, unquoted → dataset."""
    maker = _Maker(manifest, settings)
    return {
        node["relation_name"].replace('"', "").lower(): maker.relation(node)
        for node in manifest["nodes"].values()
        if node["resource_type"] in ASSETS and node.get("relation_name")
    }


class _Maker:
    """Collects jobs and datasets from the manifest's nodes."""

    def __init__(self, manifest: Mapping[str, Any], settings: Settings) -> None:
        self.jobs: dict[str, Job] = {}
        self.datasets: dict[Dataset, DatasetInfo] = {}
        self._manifest = manifest
        self._settings = settings
        self._project = manifest["metadata"]["project_name"]

    def source(self, source: Mapping[str, Any]) -> None:
        """A landing asset: it reads what others drop and writes the prefix and the ledger's copy."""
        meta = source["meta"]
        asset = self._landing_asset(source)
        domain = _domain(source)
        owners = _owners(meta)
        raw, ledger = self._raw(source), self._ledger(source)
        inputs: list[Dataset] = []
        if zone := meta.get("drop_zone"):
            dropped = naming.dropped_dataset(self._settings, zone, meta.get("pattern", "*"))
            inputs.append(dropped)
            text = f"What others drop into {zone}. {source['description']}"
            self._add(DatasetInfo(dropped, "file", None, "source", domain, text, owners))
        self._add(DatasetInfo(raw, "parquet", asset, "raw", domain, source["description"], owners, _columns(source)))
        if ledger:
            text = f"The accepted files of {source['source_name']}, one row each: what staging reads, and nothing else."
            self._add(DatasetInfo(ledger, "parquet", asset, "raw", domain, text, owners, LEDGER_COLUMNS))
        outputs = [raw, *([ledger] if ledger else [])]
        if before := self.jobs.get(asset):  # one asset may land several streams
            inputs = _once([*before.inputs, *inputs])
            outputs = _once([*before.outputs, *outputs])
        self.jobs[asset] = Job(
            name=asset,
            asset_key=asset,
            layer="raw",
            domain=domain,
            description=source["description"],
            owners=owners,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            source_path=meta.get("declared_in") or f"dbt_project/{source['original_file_path']}",
            language="PYTHON",
        )

    def model(self, node: Mapping[str, Any]) -> None:
        """A model, seed or snapshot."""
        if node["config"]["materialized"] == "ephemeral":
            return
        name, layer, domain = node["name"], _layer(node), _domain(node)
        output = self.relation(node)
        owners = _owners(node["meta"])
        self._add(DatasetInfo(output, _kind(node, output), name, layer, domain, _text(node), owners, _columns(node)))
        self.jobs[name] = Job(
            name=name,
            asset_key=name,
            layer=layer,
            domain=domain,
            description=_text(node),
            owners=owners,
            inputs=tuple(_once(self._inputs(node))),
            outputs=(output,),
            source_path=f"dbt_project/{node['original_file_path']}",
            language="SQL",
            materialized=node["config"]["materialized"],
        )

    def exposure(self, exposure: Mapping[str, Any]) -> None:
        """What is outside the platform and reads it."""
        if exposure.get("config", {}).get("enabled") is False:
            return
        inputs = _once(self._inputs(exposure))
        owner = exposure.get("owner") or {}
        owners = tuple(text for text in (owner.get("email") or owner.get("name"),) if isinstance(text, str))
        output = naming.exposure_dataset(exposure["type"], exposure["name"])
        domain, text, url = _domain(exposure), _text(exposure), exposure.get("url") or ""
        self._add(DatasetInfo(output, "exposure", None, "exposure", domain, text, owners, source_uri=url))
        name = naming.exposure_job(exposure["name"])
        self.jobs[name] = Job(
            name=name,
            asset_key=None,
            layer="exposure",
            domain=domain,
            description=text,
            owners=owners,
            inputs=tuple(inputs),
            outputs=(output,),
            source_path=f"dbt_project/{exposure['original_file_path']}",
            language="EXPOSURE",
            url=url,
        )

    def ordered(self) -> list[str]:
        """Ids of models, seeds and snapshots, each after those it reads; among equals by id."""
        depths: dict[str, int] = {}

        def depth(node_id: str) -> int:
            if node_id not in depths:
                parents = self._manifest["parent_map"].get(node_id, [])
                depths[node_id] = 1 + max((depth(parent) for parent in parents), default=-1)
            return depths[node_id]

        nodes = [key for key, node in self._manifest["nodes"].items() if node["resource_type"] in ASSETS]
        return sorted(nodes, key=lambda key: (depth(key), key))

    def relation(self, node: Mapping[str, Any]) -> Dataset:
        """The dataset of a model's relation."""
        identifier = node.get("alias") or node.get("identifier") or node["name"]
        return naming.relation_dataset(self._settings, node.get("database"), node["schema"], identifier)

    def _inputs(self, node: Mapping[str, Any]) -> Iterable[Dataset]:
        depends = node.get("depends_on") or {}
        macros = set(depends.get("macros") or [])
        for parent in depends.get("nodes") or []:
            if source := self._manifest["sources"].get(parent):
                ledger = self._ledger(source)
                reads_ledger = ledger is not None and self._macro(LEDGER_MACRO) in macros
                if not reads_ledger or self._macro(LAKE_MACRO) in macros:
                    yield self._raw(source)
                if reads_ledger and ledger is not None:
                    yield ledger
            elif (above := self._manifest["nodes"].get(parent)) and above["resource_type"] in ASSETS:
                if above["config"]["materialized"] == "ephemeral":
                    yield from self._inputs(above)
                else:
                    yield self.relation(above)

    def _macro(self, name: str) -> str:
        return f"macro.{self._project}.{name}"

    def _landing_asset(self, source: Mapping[str, Any]) -> str:
        return str(source["meta"].get("asset") or f"raw_{source['source_name']}_data")

    def _raw(self, source: Mapping[str, Any]) -> Dataset:
        meta = source["meta"]
        if folder := meta.get("drop_zone") or meta.get("path"):
            return naming.lake_dataset(self._settings, folder)
        return self.relation(source)

    def _ledger(self, source: Mapping[str, Any]) -> Dataset | None:
        key = source["meta"].get("ledger")
        return naming.lake_dataset(self._settings, key) if key else None

    def _add(self, info: DatasetInfo) -> None:
        self.datasets[info.dataset] = replace(
            info, source_uri=info.source_uri or naming.source_uri(self._settings, info.dataset)
        )


def _version(namespace: str, jobs: Mapping[str, Job], datasets: Mapping[Dataset, DatasetInfo]) -> str:
    plain = [
        naming.PRODUCER,
        namespace,
        [asdict(replace(job, sql=None, columns={})) for job in jobs.values()],
        [asdict(info) for info in datasets.values()],
    ]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _columns(node: Mapping[str, Any]) -> tuple[Column, ...]:
    """Declared columns; one without a type is left out, because Marquez shows it twice once its type is known."""
    return tuple(
        Column(column["name"], naming.type_name(column["data_type"]), _text(column))
        for column in node["columns"].values()
        if column.get("data_type")
    )


def _kind(node: Mapping[str, Any], output: Dataset) -> Kind:
    if output.namespace.startswith("postgres://"):
        return "mart"
    return "view" if node["config"]["materialized"] == "view" else "table"


def _layer(node: Mapping[str, Any]) -> str:
    """From the folder ``models/<layer>/<domain>/``; ``marts`` is called ``mart``."""
    layer = node["fqn"][1] if len(node["fqn"]) > 2 else node["resource_type"]
    return "mart" if layer == "marts" else str(layer)


def _domain(node: Mapping[str, Any]) -> str:
    return str(node["fqn"][2]) if len(node["fqn"]) > 3 else "shared"


def _owners(meta: Mapping[str, Any]) -> tuple[str, ...]:
    owner = meta.get("owner")
    return (str(owner),) if owner else ()


def _text(node: Mapping[str, Any]) -> str:
    return str(node.get("description") or "").strip()


def _once(datasets: Iterable[Dataset]) -> list[Dataset]:
    return list(dict.fromkeys(datasets))
