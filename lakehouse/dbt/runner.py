"""dbt in this process: one invocation at a time, the DuckDB file released afterwards, results as plain data.

A dbt command line takes about 3 s to start; :class:`dbt.cli.main.dbtRunner` in a warm process 0.1 s (knowledge).
It keeps the DuckDB file open until its environment is dropped, so every invocation ends with that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakehouse.dbt.environment import dbt_environment
from lakehouse.dbt.log import log_file
from lakehouse.errors import LakehouseError
from lakehouse.failures import meaning
from lakehouse.scratch import process_folder
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class NodeOutcome:
    """What became of one dbt node.

    Attributes:
        unique_id: dbt's id, e.g. ``model.lakehouse.stg_bioreactor``.
        status: ``success``, ``error``, ``skipped`` for models; ``pass``, ``fail``, ``warn``, ``error``, ``skipped``
            for tests.
        message: dbt's own text; the database's error where there is one.
        seconds: execution time in seconds.
        failures: failing rows of a test, else None.
        response: what the adapter or our materialization reported, e.g. ``{"rows_affected": 12}``.
        compiled_code: the SQL that ran, where dbt compiled it.
        started_at: when its work began (aware); None where it was not reached.
    """

    unique_id: str
    status: str
    message: str
    seconds: float
    failures: int | None
    response: dict[str, Any]
    compiled_code: str | None
    started_at: datetime | None = None

    @property
    def ended_at(self) -> datetime | None:
        """When its work ended; None where it was not reached."""
        return self.started_at + timedelta(seconds=self.seconds) if self.started_at else None

    @property
    def ok(self) -> bool:
        """Whether the node did what it should (a warning counts as ok)."""
        return self.status in {"success", "pass", "warn"}


def build(
    settings: Settings,
    manifest: Manifest,
    *,
    target: str,
    select: Sequence[str],
    variables: dict[str, Any] | None = None,
    full_refresh: bool = False,
    on_node: Callable[[str, str], None] | None = None,
) -> list[NodeOutcome]:
    """Run ``dbt build`` on the selected nodes: models and the tests that become runnable with them.

    Unit tests are left to development and CI: they check code, not data.

    Args:
        settings: the platform's settings.
        manifest: the prebuilt manifest.
        target: ``duckdb`` or ``postgres``.
        select: dbt selectors, e.g. fully qualified names.
        variables: dbt vars, read at run time.
        full_refresh: rebuild incremental models from scratch.
        on_node: called with (unique id, status) as nodes finish, from dbt's threads.

    Raises:
        LakehouseError: dbt could not run at all (as opposed to a node that failed).
        BaseException: what interrupted dbt.
    """
    import json

    args = ["build", "--target", target, "--select", *select, "--exclude-resource-type", "unit_test"]
    # Only the schemas of what is selected are looked through for what is there already.
    args += ["--indirect-selection", "buildable", "--no-write-json", "--cache-selected-only"]
    if variables:
        args += ["--vars", json.dumps(variables)]
    if full_refresh:
        args.append("--full-refresh")
    result = raw_invoke(settings, args, manifest=manifest, on_node=on_node)
    if result.exception is not None:
        if not isinstance(result.exception, Exception):
            raise result.exception  # an interrupt: dbt hands on everything, but this is not for it to keep
        if understood := meaning(result.exception):
            raise understood from result.exception
        raise LakehouseError(f"dbt stopped: {result.exception}", remedy=f"See {settings.dbt_dir / 'logs' / 'dbt.log'}.")
    outcomes = getattr(result.result, "results", None) or []
    return [_outcome(item) for item in outcomes]


def raw_invoke(
    settings: Settings,
    args: Sequence[str],
    *,
    manifest: Manifest | None = None,
    on_node: Callable[[str, str], None] | None = None,
) -> dbtRunnerResult:
    """Invoke dbt with the platform's environment, project and log; never raises for what dbt reports itself."""
    from dbt.cli.main import dbtRunner

    from lakehouse.dbt.manifest import DBT_PROJECT

    def callback(event: Any) -> None:
        if on_node is not None and event.info.name in {"LogModelResult", "LogTestResult", "LogSnapshotResult"}:
            on_node(event.data.node_info.unique_id, event.data.node_info.node_status)

    # Command-level options come after the command; dbt accepts the global ones there too.
    common = ["--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)]
    common += ["--log-path", str(settings.dbt_dir / "logs"), "--log-level", "none", "--log-level-file", "none"]
    common += ["--no-use-colors", "--no-send-anonymous-usage-stats", "--no-version-check"]
    if "--target-path" not in args:
        common += ["--target-path", str(process_folder(settings.dbt_dir / "target"))]
    with _one_at_a_time, log_file(settings.dbt_dir / "logs" / "dbt.log") as write:
        os.environ.update(dbt_environment(settings))
        try:
            return dbtRunner(manifest=manifest, callbacks=[write, callback]).invoke([*args, *common])
        finally:
            _release_duckdb()


def _release_duckdb() -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()


def _outcome(item: Any) -> NodeOutcome:
    return NodeOutcome(
        unique_id=item.node.unique_id,
        status=str(item.status),
        message=item.message or "",
        seconds=float(item.execution_time),
        failures=item.failures,
        response=dict(item.adapter_response or {}),
        compiled_code=getattr(item.node, "compiled_code", None),
        started_at=_started(item),
    )


def _started(item: Any) -> datetime | None:
    # Of a node that failed dbt keeps what it finished only; the first step, compiling, is always there.
    moments = [step.started_at for step in item.timing or [] if step.started_at is not None]
    return min(moments).replace(tzinfo=UTC) if moments else None  # dbt's are UTC without saying so
