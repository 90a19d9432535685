"""The three dbt layers as Dagster definitions, derived from the manifest."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, AssetsDefinition, multi_asset

from lakehouse.settings import load_settings
from orchestration import names
from orchestration.assets.dbt_graph import DbtGraph
from orchestration.assets.dbt_step import build_layer
from orchestration.heartbeat import HEARTBEAT
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
    # dagster-dbt's translator makes the specs; its @dbt_assets decorator would load dbt's selection engine on top, a
    # tenth of the time that loading the definitions may take, to select what the layer tag tells already.
    specs = [
        translator.get_asset_spec(manifest, model.unique_id, None)
        for model in graph.models.values()
        if model.layer in layer.tags
    ]
    by_key = {spec.key: spec for spec in specs}
    checks = [
        translator.get_asset_check_spec(by_key[key.asset_key], manifest, test, None)
        for test, key in graph.tests.items()
        if key.asset_key in by_key
    ]

    @multi_asset(
        name=layer.name,
        specs=specs,
        check_specs=[check for check in checks if check is not None],
        can_subset=True,
        required_resource_keys={HEARTBEAT},
    )
    def definition(context: AssetExecutionContext) -> Iterator[Any]:
        settings = load_settings()
        options = RunOptions.from_tags(context.run.tags)
        with dagster_failures(settings, context.retry_number, delay=options.retry_delay):
            yield from build_layer(context, settings, layer, graph, options)

    return definition
