"""One asset per declared source: it runs the ingestion and reports what the ledger says afterwards."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    AssetsDefinition,
    AssetSpec,
    CodeReferencesMetadataSet,
    CodeReferencesMetadataValue,
    DataVersion,
    LocalFileCodeReference,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableMetadataSet,
    TableSchema,
    multi_asset,
)
from ingestion.declarations import Declaration
from ingestion.ingest import IngestReport, ingest
from lakehouse.postgres.connect import connect, state_url

from lakehouse import state
from lakehouse.errors import DataError
from lakehouse.settings import load_settings
from orchestration import names, progress
from orchestration.options import RunOptions
from orchestration.processes import process_tags
from orchestration.retries import dagster_failures


def raw_asset(declaration: Declaration, check_names: dict[str, str], declared_in: Path) -> AssetsDefinition:
    """The asset that lands one source, with the checks its declaration implies.

    Args:
        declaration: the source.
        check_names: check name → severity (``error`` blocks).
        declared_in: the YAML file, linked from the asset's page.
    """
    key = AssetKey([declaration.asset])
    spec = AssetSpec(
        key=key,
        description=declaration.description,
        group_name=declaration.domain,
        owners=[
            declaration.owner if ":" in declaration.owner or "@" in declaration.owner else f"team:{declaration.owner}"
        ],
        tags={names.TAG_LAYER: "raw", names.TAG_DOMAIN: declaration.domain},
        kinds={"parquet"},
        skippable=True,  # an empty drop zone materializes nothing, and what is downstream is skipped
        metadata={
            **TableMetadataSet(
                column_schema=TableSchema(
                    columns=[
                        TableColumn(name=column.name, type=column.type, description=column.description)
                        for column in declaration.columns
                    ]
                )
            ),
            **CodeReferencesMetadataSet(
                code_references=CodeReferencesMetadataValue(
                    code_references=[LocalFileCodeReference(str(declared_in), 1, declared_in.name)]
                )
            ),
        },
    )
    checks = [
        AssetCheckSpec(name=name, asset=key, blocking=severity == "error")
        for name, severity in sorted(check_names.items())
    ]

    @multi_asset(name=declaration.asset, specs=[spec], check_specs=checks, can_subset=True)
    def definition(context: AssetExecutionContext) -> Iterator[Any]:
        settings = load_settings()
        options = RunOptions.from_tags(context.run.tags)
        with dagster_failures(settings, context.retry_number, delay=options.retry_delay):
            yield from _land(context, declaration, key)

    return definition


def _land(context: AssetExecutionContext, declaration: Declaration, key: AssetKey) -> Iterator[Any]:
    settings = load_settings()
    context.instance.add_run_tags(context.run_id, process_tags())
    began = time.monotonic()
    report = ingest(settings, declaration, run_id=context.run_id, progress=_both(context))
    seconds = time.monotonic() - began
    checks = [
        state.CheckResult(
            declaration.asset, check.name, check.passed, check.severity, check.message, dict(check.metadata)
        )
        for check in report.checks
    ]
    failed = [check for check in checks if not check.passed and check.severity == "error"]
    connection = connect(state_url(settings), what="state database")
    try:
        result = state.AssetResult(
            declaration.asset,
            ok=not report.failed,
            rows=report.rows,
            reason="; ".join(report.reasons) or None,
            data_version=report.data_version,
        )
        state.record(connection, context.run_id, [result], checks)
    finally:
        connection.close()
    progress.line(
        progress.AssetLine(
            asset=declaration.asset,
            layer="raw",
            status=_status(report),
            rows=report.rows,
            seconds=seconds,
            passed=sum(check.passed for check in checks),
            warned=sum(not check.passed and check.severity == "warn" for check in checks),
            failed=len(failed),
            reason=" ".join(check.message for check in checks if not check.passed),
        )
    )
    if report.status == "empty":
        context.log.warning(report.message)
        yield AssetObservation(key, description=report.message, metadata={"status": "empty", **_metadata(report)})
        return
    yield MaterializeResult(
        asset_key=key,
        metadata={**_metadata(report), **TableMetadataSet(row_count=report.rows)},
        data_version=DataVersion(report.data_version),
    )
    for check in checks:
        yield AssetCheckResult(
            asset_key=key,
            check_name=check.check_name,
            passed=check.passed,
            severity=AssetCheckSeverity.ERROR if check.severity == "error" else AssetCheckSeverity.WARN,
            description=check.message or None,
            metadata={name: MetadataValue.json(value) for name, value in check.metadata.items()},
        )
    if report.failed and not failed:
        raise DataError("\n".join(report.reasons), remedy=f"See raw/_quarantine/{declaration.source} in the lake.")


def _both(context: AssetExecutionContext) -> Callable[[str], None]:
    def say(text: str) -> None:
        context.log.info(text)
        progress.note(text)

    return say


def _status(report: IngestReport) -> str:
    if report.status == "empty":
        return "empty"
    if report.failed:
        return "failed"
    return "built" if report.changed else "unchanged"


def _metadata(report: IngestReport) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int | float | str) else MetadataValue.json(value)
        for name, value in report.metadata.items()
    }
