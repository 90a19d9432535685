"""Our plain results as Dagster events; shared by raw assets and dbt layers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    MetadataValue,
)

from lakehouse.state import CheckResult


def check_event(check: CheckResult) -> AssetCheckResult:
    """A check's outcome; an ``error`` that failed blocks what is downstream in this run."""
    return AssetCheckResult(
        asset_key=AssetKey([check.asset_key]),
        check_name=check.check_name,
        passed=check.passed,
        severity=AssetCheckSeverity.ERROR if check.severity == "error" else AssetCheckSeverity.WARN,
        description=check.message or None,
        metadata=as_metadata(check.metadata),
    )


def selected_check_events(context: AssetExecutionContext, checks: Iterable[CheckResult]) -> Iterator[AssetCheckResult]:
    """The outcomes of the checks this step was asked for; a page may ask for a single one."""
    for check in checks:
        if AssetCheckKey(AssetKey([check.asset_key]), check.check_name) in context.selected_asset_check_keys:
            yield check_event(check)


def as_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as Dagster metadata: numbers and texts as they are, the rest as JSON, None left out."""
    return {
        name: value if isinstance(value, bool | int | float | str) else MetadataValue.json(value)
        for name, value in values.items()
        if value is not None
    }
