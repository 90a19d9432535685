"""Facets of datasets: schema, column lineage and checks on outputs only, statistics where counted.

What belongs here: dataset facets. What does not: which datasets a job has (:mod:`lineage.declared`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    column_lineage_dataset,
    data_quality_assertions_dataset,
    data_quality_metrics_dataset,
    dataset_type_dataset,
    datasource_dataset,
    documentation_dataset,
    input_statistics_input_dataset,
    lifecycle_state_change_dataset,
    output_statistics_output_dataset,
    ownership_dataset,
    schema_dataset,
    storage_dataset,
)

from lineage.catalog import DatasetInfo, Job, Transformed
from lineage.facets.custom import LakehouseDatasetFacet
from lineage.facets.jobs import MAINTAINER
from lineage.facts import Check, Volume
from lineage.names import Column, Dataset
from lineage.naming import PRODUCER, type_name

ROW_LEVEL = frozenset({"JOIN", "FILTER", "GROUP_BY", "SORT"})
"""Influences on which rows there are: told once for the dataset; for each column they would draw every edge."""
TYPES = {"file": "FILE", "parquet": "FILE", "view": "VIEW", "table": "TABLE", "mart": "TABLE", "exposure": "EXPOSURE"}
METRICS = ("nullCount", "distinctCount", "sum", "count", "min", "max")


def input_dataset(info: DatasetInfo, read: Volume | None, *, checks: Iterable[Check] = ()) -> InputDataset:
    """A dataset that is read. It carries no schema: its writer tells it, and two spellings would double a column.

    It is described all the same: whoever mentions a dataset without its description takes it away in Marquez.

    Args:
        info: from the catalog.
        read: how much was read, where counted.
        checks: all checks of the asset, where they ran without it being written.
    """
    statistics: dict[str, InputDatasetFacet] = {}
    if read is not None and _counted(read):
        statistics["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
            rowCount=read.rows, size=read.bytes, fileCount=read.files, producer=PRODUCER
        )
    return InputDataset(*_identity(info.dataset), facets=described(info) | _verdicts(checks), inputFacets=statistics)


def output_dataset(
    info: DatasetInfo,
    *,
    columns: Sequence[Column] | None = None,
    lineage: DatasetFacet | None = None,
    written: Volume | None = None,
    checks: Iterable[Check] = (),
    metrics: Mapping[str, Any] | None = None,
    lifecycle: str | None = None,
) -> OutputDataset:
    """A dataset that is written.

    Args:
        info: from the catalog.
        columns: as built; None: as declared.
        lineage: from :func:`column_lineage`.
        written: what it holds afterwards, where counted.
        checks: all checks of the asset.
        metrics: column → counted values (``nullCount``, ``distinctCount``, ``sum``, ``count``, ``min``, ``max``).
        lifecycle: CREATE, OVERWRITE, TRUNCATE, DROP …; None: nothing of the kind happened.
    """
    facets = described(info)
    told = {column.name: column.description for column in info.columns}
    if found := schema(info.columns if columns is None else columns, told):
        facets["schema"] = found
    if lineage is not None:
        facets["columnLineage"] = lineage
    facets |= _verdicts(checks)
    if lifecycle:
        facets["lifecycleStateChange"] = lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
            lifecycleStateChange=lifecycle_state_change_dataset.LifecycleStateChange(lifecycle), producer=PRODUCER
        )
    statistics: dict[str, OutputDatasetFacet] = {}
    if written is not None and _counted(written):
        statistics["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=written.rows, size=written.bytes, fileCount=written.files, producer=PRODUCER
        )
        facets["dataQualityMetrics"] = data_quality_metrics_dataset.DataQualityMetricsDatasetFacet(
            rowCount=written.rows,
            bytes=written.bytes,
            fileCount=written.files,
            columnMetrics=_column_metrics(metrics or {}),
            producer=PRODUCER,
        )
    return OutputDataset(*_identity(info.dataset), facets=facets, outputFacets=statistics)


def schema(columns: Iterable[Column], told: Mapping[str, str]) -> schema_dataset.SchemaDatasetFacet | None:
    """Columns in one spelling of types; None where none is known.

    Args:
        columns: in their order.
        told: declared descriptions by column.
    """
    fields = [
        schema_dataset.SchemaDatasetFacetFields(
            name=column.name,
            type=type_name(column.type),
            description=told.get(column.name) or column.description or None,
            ordinal_position=place,
            fields=None,
        )
        for place, column in enumerate(columns, 1)
    ]
    return schema_dataset.SchemaDatasetFacet(fields=fields, producer=PRODUCER) if fields else None


def column_lineage(job: Job, columns: Iterable[Column]) -> column_lineage_dataset.ColumnLineageDatasetFacet | None:
    """Of the job's first output: what each of its columns is made from, and what decided on its rows.

    Args:
        job: from the catalog.
        columns: of the output as this event tells them; a server stores nothing for others.
    """
    names, inputs = {column.name for column in columns}, set(job.inputs)
    fields: dict[str, column_lineage_dataset.Fields] = {}
    rows: dict[Transformed, None] = {}
    for name, sources in job.columns.items():
        own: list[Transformed] = []
        for source in sources:
            if source.field.dataset not in inputs:
                continue
            if source.kind == "INDIRECT" and source.subtype in ROW_LEVEL:
                rows[source] = None
            else:
                own.append(source)
        if own and name in names:
            fields[name] = column_lineage_dataset.Fields(inputFields=_input_fields(own))
    if not fields and not rows:
        return None
    return column_lineage_dataset.ColumnLineageDatasetFacet(
        fields=fields, dataset=_input_fields(sorted(rows, key=_order)), producer=PRODUCER
    )


def _order(item: Transformed) -> tuple[Any, ...]:
    return item.field, item.kind, item.subtype


def _input_fields(sources: Iterable[Transformed]) -> list[column_lineage_dataset.InputField]:
    """One entry per input column with all its transformations."""
    grouped: dict[Any, list[column_lineage_dataset.Transformation]] = {}
    for source in sources:
        grouped.setdefault(source.field, []).append(
            column_lineage_dataset.Transformation(type=source.kind, subtype=source.subtype)
        )
    return [
        column_lineage_dataset.InputField(
            namespace=field.dataset.namespace, name=field.dataset.name, field=field.column, transformations=how
        )
        for field, how in grouped.items()
    ]


def _identity(dataset: Dataset) -> tuple[str, str]:
    return dataset.namespace, dataset.name


def described(info: DatasetInfo) -> dict[str, DatasetFacet]:
    """What every mention of a dataset says of it."""
    facets: dict[str, DatasetFacet] = {
        "dataSource": datasource_dataset.DatasourceDatasetFacet(
            name=info.dataset.namespace, uri=info.source_uri or info.dataset.namespace, producer=PRODUCER
        ),
        "lakehouse": LakehouseDatasetFacet(
            layer=info.layer, domain=info.domain, kind=info.kind, asset_key=info.asset_key, producer=PRODUCER
        ),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType=TYPES[info.kind], producer=PRODUCER),
    }
    if info.description:
        facets["documentation"] = documentation_dataset.DocumentationDatasetFacet(
            description=info.description, producer=PRODUCER
        )
    if info.owners:
        owners = [ownership_dataset.Owner(name=owner, type=MAINTAINER) for owner in info.owners]
        facets["ownership"] = ownership_dataset.OwnershipDatasetFacet(owners=owners, producer=PRODUCER)
    if info.kind in {"file", "parquet"}:
        layer = "s3" if info.dataset.namespace.startswith("s3://") else "file"
        facets["storage"] = storage_dataset.StorageDatasetFacet(
            storageLayer=layer, fileFormat="parquet", producer=PRODUCER
        )
    return facets


def _verdicts(checks: Iterable[Check]) -> dict[str, DatasetFacet]:
    assertions = [_assertion(check) for check in checks]
    if not assertions:
        return {}
    facet = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(assertions=assertions, producer=PRODUCER)
    # The class calls itself an input's facet; the specification and Marquez have it among a dataset's own.
    return {"dataQualityAssertions": cast("DatasetFacet", facet)}


def _assertion(check: Check) -> data_quality_assertions_dataset.Assertion:
    return data_quality_assertions_dataset.Assertion(
        assertion=check.name,
        name=check.name,
        success=check.passed,
        column=check.column,
        severity=check.severity,
        actual=check.message or None,
    )


def _column_metrics(metrics: Mapping[str, Any]) -> dict[str, data_quality_metrics_dataset.ColumnMetrics]:
    return {
        column: data_quality_metrics_dataset.ColumnMetrics(
            **{name: values[name] for name in METRICS if values.get(name) is not None}
        )
        for column, values in metrics.items()
    }


def _counted(volume: Volume) -> bool:
    return not (volume.rows is None and volume.bytes is None and volume.files is None)
