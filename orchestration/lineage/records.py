"""From the event log of an ended run to :class:`lineage.facts.RunFacts`: pure reading and judging.

What belongs here: what became of each asset in each attempt of its step, and why. What does not: which runs are read
(:mod:`orchestration.lineage.mapping`).

A step's attempts are told apart by its own events: it starts, asks for a retry, restarts. Within an attempt an asset
ended as its materialization or the note in its observation says; what has neither ended as the attempt did.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, EventLogEntry, RunRecord

from lakehouse.state import NOT_REACHED
from lineage.facts import AssetRun, Check, End, RunFacts, Volume
from lineage.names import Column
from orchestration import names
from orchestration.lineage.failures import Why, last_words, of_run, of_step
from orchestration.lineage.notes import Note, note_in
from orchestration.outages import died, is_of_command

KINDS = {
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_OBSERVATION,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.STEP_START,
    DagsterEventType.STEP_RESTARTED,
    DagsterEventType.STEP_UP_FOR_RETRY,
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_SKIPPED,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.RUN_CANCELED,
    DagsterEventType.ENGINE_EVENT,
}
ENDS: Mapping[DagsterRunStatus, End] = {
    DagsterRunStatus.SUCCESS: "COMPLETE",
    DagsterRunStatus.FAILURE: "FAIL",
    DagsterRunStatus.CANCELED: "ABORT",
}
CANCELLED = "not finished, because the run was cancelled"
INTERRUPTED = "not finished, because the command that executed it was interrupted"

TAG_SCHEDULED = ".dagster/scheduled_execution_time"
TAG_SCHEDULE = "dagster/schedule_name"
TAG_SENSOR = "dagster/sensor_name"
TAG_PARTITION = "dagster/partition"
TAG_RETRY = "dagster/retry_number"
SHOWN_TAGS = (TAG_SCHEDULE, TAG_SENSOR, TAG_PARTITION, TAG_RETRY)
HIDDEN_TAGS = (names.TAG_PROCESS, names.TAG_STARTED_BY)


@dataclass
class _Attempt:
    """One attempt of one step."""

    step_key: str
    number: int
    started: datetime
    ended: datetime | None = None
    end: End | None = None
    why: Why = field(default_factory=Why)
    built: dict[str, EventLogEntry] = field(default_factory=dict)
    noted: dict[str, tuple[Note, datetime]] = field(default_factory=dict)
    checks: dict[str, list[Check]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Ending:
    """How the run itself ended.

    Attributes:
        end: of the run.
        why: it did not succeed.
        broken_off: said of what was not finished, where a person ended the run; None: nobody did.
    """

    end: End
    why: Why
    broken_off: str | None = None


@dataclass
class _Log:
    """A run's event log, sorted."""

    planned: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    to_check: dict[tuple[str, str], None] = field(default_factory=dict)
    attempts: list[_Attempt] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)
    ending: list[Why] = field(default_factory=list)


def run_facts(instance: DagsterInstance, record: RunRecord, page: str, order: Sequence[str] = ()) -> RunFacts:
    """What happened in an ended run.

    Args:
        instance: where its event log is.
        record: of the run; its status is a final one.
        page: address of the web pages, without a slash at the end.
        order: asset keys, each after those it reads: among assets that ended at one moment this order counts.

    Raises:
        KeyError: the run has not ended.
    """
    run = record.dagster_run
    log = _read(instance.all_logs(run.run_id, of_type=KINDS))
    ended = _moment(record.end_time) or record.update_timestamp.astimezone(UTC)
    started = _moment(record.start_time) or min(record.create_timestamp.astimezone(UTC), ended)
    ending = _ending(run, log)
    position = {key: number for number, key in enumerate(order)}
    assets = sorted(
        _assets(log, run, ending, ended),
        key=lambda item: (item.ended_at, position.get(item.asset_key, len(position))),
    )
    nominal = _nominal(run.tags)
    return RunFacts(
        run_id=run.run_id,
        job=run.job_name,
        started_by=started_by(run),
        end=ending.end,
        started_at=started,
        ended_at=ended,
        assets=tuple(assets),
        checked=tuple(sorted(_checked(log, run, ending, ended), key=lambda item: (item.ended_at, item.asset_key))),
        nominal_start=nominal[0],
        nominal_end=nominal[1],
        url=f"{page}/runs/{run.run_id}",
        error=None if ending.end == "COMPLETE" else ending.why.error,
        tags={
            key: value
            for key, value in sorted(run.tags.items())
            if key in SHOWN_TAGS or (key.startswith("lakehouse/") and key not in HIDDEN_TAGS)
        },
    )


def started_by(run: DagsterRun) -> str:
    """Who started a run: ``lakehouse run``, ``worker``, ``schedule``, ``sensor`` or ``page``.

    A re-execution inherits the tags of what it repeats: by hand it is the page's, by Dagster's own retry the former's.
    """
    if run.parent_run_id is not None and TAG_RETRY not in run.tags:
        return "page"
    if told := run.tags.get(names.TAG_STARTED_BY):
        return told
    return "schedule" if TAG_SCHEDULE in run.tags else "sensor" if TAG_SENSOR in run.tags else "page"


def _ending(run: DagsterRun, log: _Log) -> _Ending:
    """Dagster takes an interruption for a failure; where it was a person's Ctrl-C on a command, it is none."""
    end = ENDS[run.status]
    failed = [attempt.why for attempt in log.attempts if attempt.end == "FAIL"]
    if end == "FAIL" and is_of_command(run) and not died(run) and any(why.interrupted for why in failed + log.ending):
        return _Ending("ABORT", Why(INTERRUPTED), INTERRUPTED)
    return _Ending(end, of_run(run, failed, log.ending), CANCELLED if end == "ABORT" else None)


def _read(entries: Iterable[EventLogEntry]) -> _Log:
    log = _Log()
    present: dict[str, _Attempt] = {}
    for entry in entries:
        event, at = entry.get_dagster_event(), datetime.fromtimestamp(entry.timestamp, UTC)
        kind, step = event.event_type, event.step_key or ""
        if kind is DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            planned = event.asset_materialization_planned_data
            log.planned[planned.asset_key.to_user_string()] = (step, planned.partition)
        elif kind is DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            log.to_check[event.asset_check_planned_data.asset_key.to_user_string(), step] = None
        elif kind in {DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED, DagsterEventType.ENGINE_EVENT}:
            if not step:
                log.ending.append(last_words(event))
        elif kind is DagsterEventType.STEP_SKIPPED:
            log.skipped.add(step)
        elif kind in {DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED}:
            number = present[step].number + 1 if step in present else 0
            present[step] = _Attempt(step, number, at)
            log.attempts.append(present[step])
        elif step in present:
            _tell(present[step], entry, at)
    return log


def _tell(attempt: _Attempt, entry: EventLogEntry, at: datetime) -> None:
    event = entry.get_dagster_event()
    if event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
        attempt.built[event.step_materialization_data.materialization.asset_key.to_user_string()] = entry
    elif event.event_type is DagsterEventType.ASSET_OBSERVATION:
        observed = event.asset_observation_data.asset_observation
        if note := note_in(observed.metadata):
            attempt.noted[observed.asset_key.to_user_string()] = (note, at)
    elif event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
        verdict = event.asset_check_evaluation_data
        column = verdict.metadata.get("column")
        attempt.checks.setdefault(verdict.asset_key.to_user_string(), []).append(
            Check(
                verdict.check_name,
                verdict.passed,
                "error" if verdict.severity.value == "ERROR" else "warn",
                str(column.value) if column is not None else None,
                "" if verdict.passed else verdict.description or "",
            )
        )
    elif event.event_type is DagsterEventType.STEP_SUCCESS:
        attempt.end, attempt.ended = "COMPLETE", at
    else:
        attempt.end, attempt.ended, attempt.why = "FAIL", at, of_step(event)


def _assets(log: _Log, run: DagsterRun, ending: _Ending, ended: datetime) -> Iterator[AssetRun]:
    started_steps = set()
    for attempt in log.attempts:
        started_steps.add(attempt.step_key)
        for key, (step, partition) in log.planned.items():
            if step == attempt.step_key and (found := _asset(attempt, key, ending, ended)):
                yield _with(found, attempt, run, partition)
    for key, (step, partition) in log.planned.items():
        if step not in started_steps and step not in log.skipped:
            error = ending.broken_off or NOT_REACHED
            yield AssetRun(
                key, step, 0, "ABORT", ended, ended, error=error, partition=partition or run.tags.get(TAG_PARTITION)
            )


def _asset(attempt: _Attempt, key: str, ending: _Ending, ended: datetime) -> AssetRun | None:
    entry = attempt.built.get(key)
    last = attempt.ended or ended
    if entry is not None:
        at = datetime.fromtimestamp(entry.timestamp, UTC)
        metadata = entry.get_dagster_event().step_materialization_data.materialization.metadata
        note = note_in(metadata) or Note("built")
        built = _of_note(attempt, key, note, at)
        return _described(built, metadata, note)
    if key in attempt.noted:
        note, at = attempt.noted[key]
        return _of_note(attempt, key, note, at)
    if attempt.end == "COMPLETE":
        return None  # an empty drop zone: the step succeeded and this asset was left alone
    return _unfinished(attempt, key, ending, max(last, attempt.started))


def _checked(log: _Log, run: DagsterRun, ending: _Ending, ended: datetime) -> Iterator[AssetRun]:
    """Attempts at checks of assets that the run was not to build, as a page asks for them."""
    for key, step in log.to_check:
        if key in log.planned or step in log.skipped:
            continue
        attempts = [attempt for attempt in log.attempts if attempt.step_key == step]
        for attempt in attempts:
            at = max(attempt.ended or ended, attempt.started)
            if attempt.end == "COMPLETE":
                found = AssetRun(key, step, attempt.number, "COMPLETE", attempt.started, at)
            else:
                found = _unfinished(attempt, key, ending, at)
            yield _with(found, attempt, run, None)
        if not attempts:
            yield AssetRun(key, step, 0, "ABORT", ended, ended, error=ending.broken_off or NOT_REACHED)


def _unfinished(attempt: _Attempt, key: str, ending: _Ending, at: datetime) -> AssetRun:
    """What an attempt did not come to: because its step failed, or because it did not end."""
    if attempt.end == "FAIL" and ending.broken_off != CANCELLED and not attempt.why.interrupted:
        verdict: End = "ABORT" if attempt.why.held_up else "FAIL"
        return AssetRun(
            key,
            attempt.step_key,
            attempt.number,
            verdict,
            attempt.started,
            at,
            error=attempt.why.error,
            stack=attempt.why.stack,
        )
    # The step never ended: its run was cancelled or interrupted, or its process was killed.
    verdict = "FAIL" if ending.broken_off is None else "ABORT"
    error = ending.broken_off or ending.why.error
    return AssetRun(key, attempt.step_key, attempt.number, verdict, attempt.started, at, error=error)


def _of_note(attempt: _Attempt, key: str, note: Note, at: datetime) -> AssetRun:
    ends: Mapping[str, End] = {"failed": "FAIL", "not reached": "ABORT"}
    started = note.started or attempt.started
    ended = max(note.ended or at, started)
    return AssetRun(
        key,
        attempt.step_key,
        attempt.number,
        ends.get(note.outcome, "COMPLETE"),
        started,
        ended,
        output=note.output,
        inputs={name: volume for name, volume in note.inputs.items() if volume != Volume()},
        error=note.error,
        sql=note.sql,
        up_to_date=note.outcome == "up to date",
        facts=note.facts,
    )


def _described(built: AssetRun, metadata: Mapping[str, Any], note: Note) -> AssetRun:
    rows, schema = metadata.get(names.META_ROWS), metadata.get(names.META_COLUMNS)
    output = built.output
    if output.rows is None and rows is not None:
        output = Volume(int(rows.value), output.bytes, output.files)
    columns = tuple(Column(item.name, item.type) for item in schema.value.columns) if schema is not None else None
    told = {name: metadata[name].value for name in ("note", "forced_past") if name in metadata}
    return replace(built, output=output, columns=columns, facts={**note.facts, **told})


def _with(asset: AssetRun, attempt: _Attempt, run: DagsterRun, partition: str | None) -> AssetRun:
    facts = dict(asset.facts)
    if run.tags.get(names.TAG_FULL_REFRESH) == "true":
        facts["full_refresh"] = True
    checks = tuple(attempt.checks.get(asset.asset_key, ()))
    return replace(asset, checks=checks, partition=partition or run.tags.get(TAG_PARTITION), facts=facts)


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _nominal(tags: Mapping[str, str]) -> tuple[datetime | None, datetime | None]:
    """The day of a daily partition, or the moment the schedule meant."""
    if partition := tags.get(TAG_PARTITION):
        try:
            day = datetime.strptime(partition, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            pass
        else:
            return day, day + timedelta(days=1)
    if scheduled := tags.get(TAG_SCHEDULED):
        moment = datetime.fromisoformat(scheduled)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)), None
    return None, None
