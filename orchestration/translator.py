"""How a dbt node becomes a Dagster asset: key, group, tags, owner, link to its source file.

What belongs here: naming. What does not: executing anything.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster import AssetKey, CodeReferencesMetadataValue, LocalFileCodeReference
from dagster_dbt import DagsterDbtTranslator

from orchestration import names


class LakehouseTranslator(DagsterDbtTranslator):
    """Keys are bare model names, groups are domains, layers are tags; sources are the assets that land them.

    Args:
        project_dir: the dbt project, for links to the models' files.
        source_assets: dbt source name → asset key of the asset that lands it, from the declarations.
    """

    def __init__(self, project_dir: Path, source_assets: Mapping[str, str]) -> None:
        super().__init__()
        self._project_dir = project_dir
        self._source_assets = dict(source_assets)

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        """Bare model name, or the landing asset of a source."""
        if dbt_resource_props["resource_type"] == "source":
            source = dbt_resource_props["source_name"]
            return AssetKey(self._source_assets.get(source, f"raw_{source}_data"))
        return AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The domain: ``models/<layer>/<domain>/…``."""
        return layer_and_domain(dbt_resource_props)[1]

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """Layer and domain as key-value tags, for selection."""
        layer, domain = layer_and_domain(dbt_resource_props)
        return {names.TAG_LAYER: layer, names.TAG_DOMAIN: domain}

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
        """``meta.owner`` of the model; a bare name is a team."""
        owner = (dbt_resource_props.get("meta") or {}).get("owner")
        if not owner:
            return None
        return [owner if "@" in owner or owner.startswith("team:") else f"team:{owner}"]

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, Any]:
        """A link to the SQL file."""
        path = self._project_dir / dbt_resource_props["original_file_path"]
        reference = LocalFileCodeReference(file_path=str(path), line_number=1, label=dbt_resource_props["name"])
        return {
            **super().get_metadata(dbt_resource_props),
            names.META_CODE: CodeReferencesMetadataValue(code_references=[reference]),
        }


def layer_and_domain(dbt_resource_props: Mapping[str, Any]) -> tuple[str, str]:
    """Layer and domain from the model's folder ``models/<layer>/<domain>/``; ``marts`` is called ``mart``."""
    parts = dbt_resource_props["fqn"]
    layer = "mart" if parts[1] == "marts" else parts[1]
    return layer, parts[2] if len(parts) > 3 else "shared"
