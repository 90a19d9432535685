"""The three dbt layers as Dagster definitions, derived from the manifest."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, AssetsDefinition
from dagster_dbt import dbt_assets

from lakehouse.settings import load_settings
from orchestration import names
from orchestration.assets.dbt_graph import DbtGraph
from orchestration.assets.dbt_step import build_layer
from orchestration.options import RunOptions
from orchestration.retries import dagster_failures
from orchestration.translator import LakehouseTranslator


def dbt_layers(
    manifest: Mapping[str, Any], project_dir: Path, source_assets: Mapping[str, str]
) -> list[AssetsDefinition]:
    """Definitions of all layers.

    Args:
        manifest: dbt's ``manifest.json``, parsed under the postgres target.
        project_dir: the dbt project.
        source_assets: dbt source name → key of the asset that lands it.
    """
    translator = LakehouseTranslator(project_dir, source_assets)
    graph = DbtGraph(manifest, translator)
    return [_layer(layer, manifest, translator, graph) for layer in names.LAYERS]


def _layer(
    layer: names.Layer, manifest: Mapping[str, Any], translator: LakehouseTranslator, graph: DbtGraph
) -> AssetsDefinition:
    @dbt_assets(
        manifest=manifest,
        select=layer.select,
        name=layer.name,
        dagster_dbt_translator=translator,
        pool=names.WAREHOUSE_POOL,
    )
    def definition(context: AssetExecutionContext) -> Iterator[Any]:
        settings = load_settings()
        options = RunOptions.from_tags(context.run.tags)
        with dagster_failures(settings, context.retry_number, delay=options.retry_delay):
            yield from build_layer(context, settings, layer, graph, options)

    return definition
