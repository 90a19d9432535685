"""Questions the steps ask of the dbt manifest: which model is which asset, which test is which check, what is above."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dagster import AssetCheckKey
from dagster_dbt.asset_utils import get_asset_check_key_for_test  # public module; not re-exported at the top

from orchestration.translator import LakehouseTranslator, layer_and_domain


@dataclass(frozen=True)
class Model:
    """A dbt model as the platform sees it: asset key, layer, relation, source read directly, depth in the graph."""

    unique_id: str
    asset_key: str
    layer: str
    materialized: str
    schema: str
    identifier: str
    source: str | None
    depth: int


class DbtGraph:
    """Look-ups over one manifest, computed once.

    Args:
        manifest: dbt's ``manifest.json``.
        translator: names assets and checks.
    """

    def __init__(self, manifest: Mapping[str, Any], translator: LakehouseTranslator) -> None:
        self._manifest = manifest
        self._translator = translator
        self._depths: dict[str, int] = {}
        self.models = {
            node_id: self._model(node)
            for node_id, node in manifest["nodes"].items()
            if node["resource_type"] == "model"
        }
        self.tests = {
            node_id: key
            for node_id, node in manifest["nodes"].items()
            if node["resource_type"] == "test" and (key := self._check_key(node_id)) is not None
        }
        self._by_asset = {model.asset_key: model for model in self.models.values()}

    def of_assets(self, asset_keys: Iterable[str]) -> list[Model]:
        """Models of these assets, each after those it is built on."""
        return sorted((self._by_asset[key] for key in asset_keys), key=lambda model: (model.depth, model.asset_key))

    def test_names(self, checks: Iterable[AssetCheckKey]) -> list[str]:
        """Dbt selectors of the tests behind these checks."""
        wanted = set(checks)
        return sorted(self._manifest["nodes"][test]["name"] for test, key in self.tests.items() if key in wanted)

    def severity(self, test_id: str) -> str:
        """``error`` or ``warn`` as declared."""
        return str(self._manifest["nodes"][test_id]["config"].get("severity") or "error").lower()

    def parents(self, model: Model) -> list[Model]:
        """Models this one reads directly."""
        above = self._manifest["parent_map"].get(model.unique_id, [])
        return [self.models[parent] for parent in above if parent in self.models]

    def inputs(self, model: Model) -> list[str]:
        """Keys of the assets this model reads directly, landing assets included."""
        above = self._manifest["parent_map"].get(model.unique_id, [])
        nodes, sources = self._manifest["nodes"], self._manifest["sources"]
        found = [nodes.get(node) or sources.get(node) for node in above]
        return [self._translator.get_asset_key(node).to_user_string() for node in found if node]

    def landed_by(self, model: Model) -> list[str]:
        """Keys of the landing assets among those a model reads directly."""
        above = self._manifest["parent_map"].get(model.unique_id, [])
        sources = [self._manifest["sources"][node] for node in above if node in self._manifest["sources"]]
        return [self._translator.get_asset_key(source).to_user_string() for source in sources]

    def column(self, test_id: str) -> str | None:
        """The column a test is about, where it is about one."""
        name = self._manifest["nodes"][test_id].get("column_name")
        return str(name) if name else None

    def upstream_assets(self, models: Iterable[Model]) -> set[str]:
        """Keys of all assets above these models, transitively; the models themselves left out."""
        own = {model.unique_id for model in models}
        seen: set[str] = set()
        todo = list(own)
        while todo:
            for parent in self._manifest["parent_map"].get(todo.pop(), []):
                if parent not in seen:
                    seen.add(parent)
                    todo.append(parent)
        known = {**self._manifest["nodes"], **self._manifest["sources"]}
        return {self._translator.get_asset_key(known[node]).to_user_string() for node in seen - own if node in known}

    def _model(self, node: Mapping[str, Any]) -> Model:
        sources = node.get("sources") or []
        return Model(
            unique_id=node["unique_id"],
            asset_key=self._translator.get_asset_key(node).to_user_string(),
            layer=layer_and_domain(node)[0],
            materialized=node["config"]["materialized"],
            schema=node["schema"],
            identifier=node.get("alias") or node["name"],
            source=sources[0][0] if sources else None,
            depth=self._depth(node["unique_id"]),
        )

    def _depth(self, node_id: str) -> int:
        """Length of the longest way from a source to this node."""
        if node_id not in self._depths:
            parents = self._manifest["parent_map"].get(node_id, [])
            self._depths[node_id] = 1 + max((self._depth(parent) for parent in parents), default=-1)
        return self._depths[node_id]

    def _check_key(self, test_id: str) -> AssetCheckKey | None:
        return get_asset_check_key_for_test(self._manifest, self._translator, test_id, project=None)
