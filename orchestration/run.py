"""A headless run in this process, recorded in the same instance the web pages show."""

import contextlib
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dagster import (
    AssetKey,
    AssetSelection,
    BetaWarning,
    DagsterError,
    DagsterEvent,
    DagsterInstance,
    Definitions,
    JobDefinition,
    execute_job,
    reconstructable,
)

from lakehouse import state
from lakehouse.errors import ConfigError
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings
from orchestration import names, progress
from orchestration.instance import prepare_home
from orchestration.lineage.failures import of_step
from orchestration.options import RunOptions
from orchestration.processes import run_tags
from orchestration.reaper import reap
from orchestration.selection import to_dagster
from orchestration.storage import MAX_CONNECTIONS, RECYCLE_SECONDS, STATEMENT_TIMEOUT_MS

SELECTION_HELP = (
    "Examples: --select dbt_curated_models, --select 'dbt_staging_models+', --select bioreactor, --select dim_batch."
)
log = logging.getLogger(__name__)

INTERRUPTED = "It was interrupted. What was finished is kept; the next run does the rest."
REAP_SECONDS = 10.0
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class RunSummary:
    """What a run did: id, success, one line per asset, errors of failed steps, and seconds without start-up."""

    run_id: str
    success: bool
    lines: list[progress.AssetLine] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    blocked: bool = False
    seconds: float = 0.0


def pipeline_job() -> JobDefinition:
    """The job a headless run executes; named here so that Dagster can find it again."""
    from orchestration.definitions import defs

    return defs.resolve_job_def(names.NIGHTLY_JOB)


def run(
    settings: Settings,
    *,
    select: str,
    options: RunOptions,
    on_note: Callable[[str], None],
    on_line: Callable[[progress.AssetLine], None],
) -> RunSummary:
    """Execute the selected assets in this process.

    Args:
        settings: the platform's settings; Postgres must be ready.
        select: see :mod:`orchestration.selection`.
        options: of this run.
        on_note: told what is going on.
        on_line: told how each asset came out.

    Raises:
        ConfigError: the selection names nothing.
    """
    prepare_home(settings)
    # Without a handler Python prints library warnings to the terminal; they are in the run's event log.
    logging.getLogger("dagster").addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", category=BetaWarning)  # Dagster warns of its own selection parser
    from orchestration.definitions import defs

    keys = selected_keys(defs, select)
    summary = RunSummary("", False)

    def keep(line: progress.AssetLine) -> None:
        summary.lines.append(line)
        on_line(line)

    forget_removed(settings, defs)
    with progress.listening(on_note, keep), DagsterInstance.get() as instance:
        keep_connections(instance)
        for run_id in reap(instance, settings):
            on_note(f"Run {run_id[:8]} had died and is now marked failed.")
        began = time.monotonic()
        with reaping(instance, settings):
            result = execute_job(
                reconstructable(pipeline_job),
                instance=instance,
                run_config=QUIET,
                tags={**options.to_tags(), **run_tags(names.BY_COMMAND)},
                asset_selection=keys,
            )
        summary.run_id, summary.success = result.run_id, result.success
        summary.seconds = time.monotonic() - began
        for event in result.all_events:
            if event.is_step_failure:
                failure = event.step_failure_data.user_failure_data
                summary.errors.append(_reason(event))
                summary.blocked |= bool(failure and "blocked" in failure.metadata)
        reported = {line.asset for line in summary.lines}
        layers = asset_layers(defs)
        for name in (key.to_user_string() for key in keys):
            if name not in reported:
                status = "blocked" if summary.blocked else "skipped"
                summary.lines.append(progress.AssetLine(name, layers[name], status))
    return summary


def _reason(event: DagsterEvent) -> str:
    """What people read of a failed step: its own words; a stack trace only where nobody has words for it."""
    if of_step(event).interrupted:
        return INTERRUPTED
    data = event.step_failure_data
    failure = data.user_failure_data
    return failure.description if failure and failure.description else data.error_display_string


def keep_connections(instance: DagsterInstance) -> None:
    """Keep connections open between events; without it every event costs one or two new ones."""
    instance.optimize_for_webserver(
        statement_timeout=STATEMENT_TIMEOUT_MS, pool_recycle=RECYCLE_SECONDS, max_overflow=MAX_CONNECTIONS
    )


@contextlib.contextmanager
def reaping(
    instance: DagsterInstance, settings: Settings, *, on_dead: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Clear up after dead runs for the length of the block, at once and every few seconds.

    Args:
        instance: where the runs are.
        settings: the platform's settings.
        on_dead: called, in another thread, when dead runs were found.
    """
    ended = threading.Event()

    def work() -> None:
        pause = 0.0
        while not ended.wait(pause):
            pause = REAP_SECONDS
            try:
                if reap(instance, settings):
                    on_dead()
            except Exception:
                log.exception("Looking for dead runs failed; it is tried again in %s s.", REAP_SECONDS)

    thread = threading.Thread(target=work, name="reaper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def forget_removed(settings: Settings, defs: Definitions) -> None:
    """Let go of stored results of assets and checks that are defined no more."""
    graph = defs.resolve_asset_graph()
    connection = connect_state(settings)
    try:
        state.forget_others(
            connection,
            [key.to_user_string() for key in graph.get_all_asset_keys()],
            [f"{key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys],
        )
    finally:
        connection.close()


def selected_keys(defs: Definitions, select: str) -> list[AssetKey]:
    """Asset keys a selection resolves to.

    Raises:
        ConfigError: nothing matches, or the syntax is wrong.
    """
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    domains = {spec.group_name for spec in specs.values() if spec.group_name}
    text = to_dagster(select, domains=domains, assets=specs)
    try:
        chosen = AssetSelection.from_string(text).resolve(defs.resolve_asset_graph())
    except DagsterError as error:
        raise ConfigError(f"The selection {select!r} is not understood: {error}", remedy=SELECTION_HELP) from error
    if not chosen:
        raise ConfigError(f"The selection {select!r} matches no asset.", remedy=SELECTION_HELP)
    return sorted(chosen)


def asset_layers(defs: Definitions) -> dict[str, str]:
    """Asset key → layer, for every asset."""
    return {spec.key.to_user_string(): spec.tags.get(names.TAG_LAYER, "") for spec in defs.resolve_all_asset_specs()}
