"""What a dead run left is resumed by the next look at the drop zone, but not for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import psycopg2
import pytest
from dagster import (
    AssetKey,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterRunStatus,
    Definitions,
    asset,
    define_asset_job,
    job,
    op,
)
from idle_runs import idle

from lakehouse.errors import DataError, UnavailableError
from lakehouse.settings import Settings
from orchestration import arrivals, names
from orchestration.outages import is_of_command
from orchestration.retries import dagster_failures


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as made:
        yield made


def _ended(instance: DagsterInstance, status=DagsterRunStatus.FAILURE, *, died: bool = False, **tags: str) -> str:
    run_id = instance.create_run_for_job(idle, status=status, tags=tags).run_id
    if died:
        instance.add_run_tags(run_id, {names.TAG_DIED: run_id})
    return run_id


def _resumed(instance: DagsterInstance, source: str = "bioreactor") -> str | None:
    run = arrivals._to_resume(instance, source)
    return run and run.run_id


def test_nothing_is_resumed_where_nothing_died(instance):
    assert _resumed(instance) is None
    _ended(instance, DagsterRunStatus.SUCCESS)
    _ended(instance)
    assert _resumed(instance) is None, "a run that failed by itself is not repeated"


def test_the_newest_run_is_resumed_if_it_died(instance):
    _ended(instance, DagsterRunStatus.SUCCESS)
    dead = _ended(instance, died=True)
    assert _resumed(instance) == dead
    _ended(instance, DagsterRunStatus.SUCCESS)
    assert _resumed(instance) is None, "a later run has done its work"


def test_the_death_of_another_sources_run_is_not_ours(instance):
    dead = _ended(instance, died=True, **{names.TAG_SOURCE: "other"})
    assert _resumed(instance) is None
    assert _resumed(instance, "other") == dead


def test_a_re_execution_inherits_the_tag_but_not_the_death(instance):
    dead = _ended(instance, died=True)
    _ended(instance, **{names.TAG_DIED: dead})
    assert _resumed(instance) is None


def test_after_three_deaths_in_a_row_there_is_a_pause(instance):
    for _ in range(2):
        dead = _ended(instance, died=True)
    assert _resumed(instance) == dead
    _ended(instance, died=True)
    assert _resumed(instance) is None
    assert arrivals.unfinished(instance, "bioreactor"), "in the pause, too, it is not made up for"
    _ended(instance, DagsterRunStatus.SUCCESS)
    assert not arrivals.unfinished(instance, "bioreactor")


@pytest.mark.parametrize(
    ("error", "resumed"),
    [
        (psycopg2.OperationalError("server closed the connection unexpectedly"), True),  # Dagster's own write failed
        (UnavailableError("The marts server does not answer.", remedy="Start it."), True),
        (DataError("A model is wrong.", remedy="Mend it."), False),
        (ZeroDivisionError("a fault of ours"), False),
        (DagsterExecutionInterruptedError(), True),  # `lakehouse up` was stopped in the middle of it
    ],
)
def test_what_an_outage_ended_is_resumed_and_what_is_wrong_is_not(instance, error, resumed):
    settings = Settings(_env_file=None, retry_max=0)
    understood = not isinstance(error, psycopg2.OperationalError | DagsterExecutionInterruptedError)

    @op
    def breaks() -> None:
        if not understood:
            raise error
        with dagster_failures(settings, 0, delay=None):
            raise error

    @job
    def broken() -> None:
        breaks()

    run_id = broken.execute_in_process(instance=instance, raise_on_error=False).run_id
    assert _resumed(instance) == (run_id if resumed else None)


def test_a_run_that_could_not_be_launched_is_taken_up_again(instance):
    # As Dagster's daemon does when the code server is just being replaced: a failure without any error in it.
    run_id = _ended(instance, DagsterRunStatus.STARTING)
    instance.report_run_failed(instance.get_run_by_id(run_id))
    assert _resumed(instance) == run_id


def test_a_run_that_is_never_launched_is_not_taken_up_for_ever(instance):
    for _ in range(arrivals.MAX_OUTAGES):
        instance.report_run_failed(instance.get_run_by_id(_ended(instance, DagsterRunStatus.STARTING)))
    assert _resumed(instance) is None


def test_ctrl_c_on_a_command_is_not_taken_up_again(instance):
    @op
    def breaks() -> None:
        raise DagsterExecutionInterruptedError

    @job(tags={names.TAG_STARTED_BY: names.BY_COMMAND})
    def broken() -> None:
        breaks()

    broken.execute_in_process(instance=instance, raise_on_error=False)
    assert _resumed(instance) is None


def test_a_re_execution_of_a_commands_run_is_executed_by_no_command(instance):
    tags = {names.TAG_STARTED_BY: names.BY_COMMAND}
    first = instance.create_run_for_job(idle, tags=tags)
    again = instance.create_run_for_job(idle, tags=tags, parent_run_id=first.run_id, root_run_id=first.run_id)
    assert [is_of_command(run) for run in (first, again)] == [True, False]


def test_a_later_run_of_a_part_does_not_make_up_for_a_broken_one(instance):
    @asset
    def one() -> None: ...

    @asset
    def other() -> None: ...

    jobs = [define_asset_job(names.FILES_JOB), define_asset_job(names.NIGHTLY_JOB)]
    defined = Definitions([one, other], jobs=jobs)

    def of(job_name: str, *keys: str, status=DagsterRunStatus.SUCCESS) -> str:
        chosen = frozenset(map(AssetKey, keys)) or None
        made = defined.resolve_job_def(job_name)
        return instance.create_run_for_job(made, status=status, asset_selection=chosen).run_id

    for selected, whole in (
        (("one", "other"), (names.NIGHTLY_JOB, "one", "other")),
        (("one", "other"), (names.NIGHTLY_JOB,)),
        ((), (names.FILES_JOB, "one", "other")),
    ):
        dead = of(names.NIGHTLY_JOB, *selected, status=DagsterRunStatus.FAILURE)
        instance.add_run_tags(dead, {names.TAG_DIED: dead})
        of(names.NIGHTLY_JOB, "one")
        of(names.NIGHTLY_JOB, "other")
        assert _resumed(instance) == dead
        of(*whole)
        assert _resumed(instance) is None


def test_many_runs_of_other_sources_do_not_hide_a_broken_one(instance):
    dead = _ended(instance, died=True, **{names.TAG_SOURCE: "bioreactor"})
    for _ in range(arrivals.LOOK_BACK + 1):
        _ended(instance, DagsterRunStatus.SUCCESS, **{names.TAG_SOURCE: "other"})
    assert _resumed(instance) == dead


def test_the_pause_counts_from_the_end_of_a_long_run():
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    ended_now = SimpleNamespace(create_timestamp=now - hour, end_time=now.timestamp() - 1)
    ended_long_ago = SimpleNamespace(create_timestamp=now - 2 * hour, end_time=(now - hour).timestamp())
    from_the_future = SimpleNamespace(create_timestamp=now + hour, end_time=(now + hour).timestamp())
    assert [arrivals._recent(item) for item in (ended_now, ended_long_ago, from_the_future)] == [True, False, False]
