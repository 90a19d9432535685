"""The models as the trace sees them: relation, key, parents, and what reads files, from dbt's manifest.

What belongs here: plain facts of a manifest, as JSON. What does not: their SQL (a mapping that the caller gives).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehouse.errors import ConfigError
from lineage.trace.values import Relation

LEDGER_MACRO, LAKE_MACRO = "macro.lakehouse.ledger", "macro.lakehouse.lake_rows"
TRACED = ("model", "snapshot")


@dataclass(frozen=True)
class Source:
    """A declared source whose files a model reads.

    Attributes:
        name, table: as dbt calls them; to the ledger they are source and stream.
        batch_column: column whose values the ledger knows of each file; empty: none.
        path: where its files are dropped.
    """

    name: str
    table: str
    batch_column: str
    path: str


@dataclass(frozen=True)
class Model:
    """One model, seed or snapshot.

    Attributes:
        name: dbt's name, which is the asset key.
        relation: where its rows are.
        layer: ``staging``, ``intermediate``, ``curated``, ``mart``; ``seed``.
        key: columns that name a row, in lower case; empty where nothing declares them.
        grain: the same in words, as declared.
        types: declared column types.
        incremental: built piece by piece.
        register: the table that says from which file versions each batch was built, where it keeps one.
        source: what it reads files of.
        ledger: it is the list of accepted files.
        path: its file.
    """

    name: str
    relation: Relation
    layer: str
    key: tuple[str, ...] = ()
    grain: str = ""
    types: Mapping[str, str] = field(default_factory=dict)
    incremental: bool = False
    register: Relation | None = None
    source: Source | None = None
    ledger: bool = False
    path: str = ""

    @property
    def in_postgres(self) -> bool:
        """Whether it is served there."""
        return self.layer == "mart"


class Models:
    """Look-ups over one manifest.

    Args:
        manifest: dbt's ``manifest.json``.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        tests = _unique_combinations(manifest)
        self.all = [
            _model(node, manifest, tests.get(node["unique_id"], ()))
            for node in manifest["nodes"].values()
            if node["resource_type"] in (*TRACED, "seed")
        ]
        self._by_relation = {model.relation: model for model in self.all}
        self._ids = {
            node["name"]: node_id for node_id, node in manifest["nodes"].items() if node["resource_type"] in TRACED
        }
        self._parents: Mapping[str, Sequence[str]] = manifest.get("parent_map", {})

    def of(self, relation: Relation) -> Model | None:
        """The model behind a relation."""
        return self._by_relation.get(relation)

    def with_ancestors(self, model: Model) -> set[str]:
        """Names of a model and of all models above it: those whose SQL a trace needs."""
        seen: set[str] = set()
        todo = [self._ids[model.name]] if model.name in self._ids else []
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo += self._parents.get(node, ())
        return {name for name, node in self._ids.items() if node in seen}

    def named(self, name: str) -> Model:
        """A model by its table's name or its own, with or without its schema; a mart before others of that name.

        Raises:
            ConfigError: there is none; names those that are spelled alike.
        """
        schema, _, bare = name.lower().rpartition(".")
        found = [
            model
            for model in self.all
            if bare in {model.relation.name, model.name.lower()} and schema in {"", model.relation.schema}
        ]
        if found:
            return min(found, key=lambda model: not model.in_postgres)
        known = sorted({model.relation.name for model in self.all})
        marts = sorted(model.relation.name for model in self.all if model.in_postgres)
        close = difflib.get_close_matches(bare, known, n=3, cutoff=0.5)
        raise ConfigError(
            f"There is no mart or model {name}.",
            remedy=f"Did you mean {' or '.join(close)}?" if close else f"Marts: {', '.join(marts)}.",
        )


def _model(node: Mapping[str, Any], manifest: Mapping[str, Any], tested: Sequence[str]) -> Model:
    config, kind = node["config"], node["resource_type"]
    macros = node.get("depends_on", {}).get("macros", ())
    relation = Relation(node["schema"].lower(), (node.get("alias") or node["name"]).lower())
    layer = node["fqn"][1] if kind == "model" else kind
    sources = [
        manifest["sources"][parent] for parent in _with_parents(node, manifest) if parent in manifest.get("sources", {})
    ]
    return Model(
        name=node["name"],
        relation=relation,
        layer="mart" if layer == "marts" else layer,
        key=tuple(item.lower().strip('"') for item in _key(config, tested)),
        grain=str((node.get("meta") or config.get("meta") or {}).get("grain", "")),
        types={name.lower(): column.get("data_type") or "" for name, column in node.get("columns", {}).items()},
        incremental=config.get("materialized") == "incremental",
        register=Relation(relation.schema, f"{relation.name}__batches") if config.get("keeps_batch_register") else None,
        source=_source(sources[0]) if sources and LAKE_MACRO in macros else None,
        ledger=LEDGER_MACRO in macros,
        path=str(node.get("original_file_path", "")),
    )


def _with_parents(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """Nodes a model depends on, and those that these depend on: `lake_rows` names the source through its file list."""
    direct = list(node.get("depends_on", {}).get("nodes", ()))
    further = [
        item for parent in direct for item in manifest["nodes"].get(parent, {}).get("depends_on", {}).get("nodes", ())
    ]
    return direct + further


def _source(node: Mapping[str, Any]) -> Source:
    meta = node.get("meta") or node.get("config", {}).get("meta") or {}
    return Source(node["source_name"], node["name"], meta.get("batch_column") or "", meta.get("drop_zone") or "")


def _key(config: Mapping[str, Any], tested: Sequence[str]) -> Sequence[str]:
    for name in ("publish_key", "unique_key"):
        value = config.get(name)
        if value:
            names = [value] if isinstance(value, str) else list(value)
            if all(re.fullmatch(r'"?\w+"?', item) for item in names):
                return names
    return tested


def _unique_combinations(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Columns that a test says are unique together, by model; the shortest where there are several."""
    found: dict[str, tuple[str, ...]] = {}
    for node in manifest["nodes"].values():
        test = node.get("test_metadata") or {}
        arguments = test.get("kwargs", {}).get("arguments") or test.get("kwargs", {})
        if test.get("name") == "unique_combination":
            columns = tuple(arguments.get("columns") or ())
        elif test.get("name") == "unique":
            columns = (arguments.get("column_name") or test.get("kwargs", {}).get("column_name") or "",)
        else:
            continue
        model = node.get("attached_node") or ""
        if all(columns) and columns and (model not in found or len(columns) < len(found[model])):
            found[model] = columns
    return found
