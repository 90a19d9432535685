"""One asset per declared source: it runs the ingestion and reports what the ledger says afterwards."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    AssetsDefinition,
    AssetSpec,
    CodeReferencesMetadataValue,
    DataVersion,
    LocalFileCodeReference,
    MaterializeResult,
    TableColumn,
    TableSchema,
    multi_asset,
)

from ingestion.checks import CHECK_NAMES
from ingestion.declarations import DropZoneSource
from ingestion.ingest import ingest
from ingestion.report import IngestReport
from lakehouse import state
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import load_settings
from lineage.facts import Volume
from orchestration import names, progress
from orchestration.arrivals import unfinished
from orchestration.assets.events import as_metadata, selected_check_events
from orchestration.heartbeat import HEARTBEAT
from orchestration.lineage.notes import Note
from orchestration.options import RunOptions
from orchestration.retries import dagster_failures

ARRIVED = ("files_new", "files_changed", "files_quarantined", "files_missing", "rows_arrived", "rows_rejected")
"""Of the ingestion's report what lineage tells beside the volumes."""


def raw_asset(declaration: DropZoneSource, declared_in: Path) -> AssetsDefinition:
    """The asset that lands one source, with the checks its declaration implies.

    Args:
        declaration: the source.
        declared_in: the YAML file, linked from the asset's page.
    """
    key = AssetKey([declaration.asset])
    reference = LocalFileCodeReference(file_path=str(declared_in), line_number=1, label=declared_in.name)
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
            names.META_COLUMNS: TableSchema(
                columns=[
                    TableColumn(name=column.name, type=column.type, description=column.description)
                    for column in declaration.columns
                ]
            ),
            names.META_CODE: CodeReferencesMetadataValue(code_references=[reference]),
        },
    )
    # Blocking, because whether a failure is an error or a warning is known only once it has happened; Dagster lets
    # warnings of a blocking check pass.
    checks = [AssetCheckSpec(name=name, asset=key, blocking=True) for name in CHECK_NAMES]

    @multi_asset(
        name=declaration.asset,
        specs=[spec],
        check_specs=checks,
        can_subset=True,
        required_resource_keys={HEARTBEAT},
    )
    def definition(context: AssetExecutionContext) -> Iterator[Any]:
        settings = load_settings()
        options = RunOptions.from_tags(context.run.tags)
        with dagster_failures(settings, context.retry_number, delay=options.retry_delay):
            yield from _land(context, declaration, key)

    return definition


def _land(context: AssetExecutionContext, declaration: DropZoneSource, key: AssetKey) -> Iterator[Any]:
    settings = load_settings()
    began, started = time.monotonic(), datetime.now(UTC)
    if RunOptions.from_tags(context.run.tags).accept_stale:
        settings = settings.model_copy(update={"accept_stale": True})
    report = ingest(
        settings,
        declaration,
        run_id=context.run_id,
        progress=_both(context),
        unfinished=lambda: unfinished(context.instance, declaration.source),
    )
    seconds = time.monotonic() - began
    # Nothing to judge in an empty drop zone; what was stored about former files stays as it is.
    judged = [] if report.status == "empty" else report.checks
    checks = [
        state.CheckResult(declaration.asset, item.name, item.passed, item.severity, item.message, dict(item.metadata))
        for item in judged
    ]
    failed = [check for check in checks if not check.passed and check.severity == "error"]
    connection = connect_state(settings)
    try:
        result = state.AssetResult(
            declaration.asset,
            ok=not report.failed,
            rows=report.metadata["rows"],
            reason="; ".join(report.failures) or None,
        )
        state.record(connection, context.run_id, [result], checks)
        state.alert_on(connection, context.run_id, [result], checks)
    finally:
        connection.close()
    progress.line(
        progress.AssetLine(
            asset=declaration.asset,
            layer="raw",
            status=_status(report),
            rows=report.metadata["rows"],
            seconds=seconds,
            passed=sum(check.passed for check in checks),
            warned=sum(not check.passed and check.severity == "warn" for check in checks),
            failed=len(failed),
            reason="; ".join(check.message for check in checks if not check.passed),
        )
    )
    if report.status == "empty":
        text = f"No file in {declaration.path}: nothing to build, what is downstream is skipped."
        context.log.warning(text)
        progress.note(text)
        yield AssetObservation(key, description=text, metadata=as_metadata(report.metadata))
        return
    if key in context.selected_asset_keys:  # else only its checks were asked for
        yield MaterializeResult(
            asset_key=key,
            metadata={
                **as_metadata(report.metadata),
                **_note(report, started, seconds).metadata(),
                names.META_ROWS: report.metadata["rows"],
            },
            data_version=DataVersion(str(report.arrival_after)),
        )
    yield from selected_check_events(context, checks)
    report.raise_if_failed()


def _note(report: IngestReport, started: datetime, seconds: float) -> Note:
    held = report.metadata
    return Note(
        # What was accepted is there and recorded all the same, but nothing goes on from here.
        "failed" if report.failed else "built" if report.changed_anything else "up to date",
        started,
        started + timedelta(seconds=seconds),
        error="; ".join(report.failures) or None,
        output=Volume(held["rows"], held["bytes"], held["files"]),
        # Of what others dropped this run took in so much.
        inputs={report.asset: Volume(held["rows_arrived"], held["bytes_arrived"], len(report.accepted))},
        facts={name: held[name] for name in ARRIVED if held.get(name)},
    )


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
    return "built" if report.changed_anything else "unchanged"
