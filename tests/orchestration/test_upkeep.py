"""Retention keeps what tells the present; the reaper fails what died."""

from datetime import datetime, timedelta

import pytest
from dagster import AssetKey, DagsterInstance, asset, materialize

from orchestration.retention import forget_old_runs


@asset
def thing() -> None:
    """An asset to materialize."""


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as made:
        yield made


def _age(instance: DagsterInstance, monkeypatch, days: int) -> None:
    """Look at the instance from ``days`` in the future."""

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=days)

    monkeypatch.setattr("orchestration.retention.datetime", Later)


def test_old_runs_go_but_never_the_latest_materialization(instance, monkeypatch):
    runs = [materialize([thing], instance=instance).run_id for _ in range(3)]
    _age(instance, monkeypatch, days=31)
    assert forget_old_runs(instance, [AssetKey("thing")], days=30) == 2
    assert [run.run_id for run in instance.get_runs()] == [runs[-1]]
    assert instance.get_latest_materialization_event(AssetKey("thing")).run_id == runs[-1]


def test_young_runs_stay(instance, monkeypatch):
    materialize([thing], instance=instance)
    materialize([thing], instance=instance)
    _age(instance, monkeypatch, days=29)
    assert forget_old_runs(instance, [AssetKey("thing")], days=30) == 0
    assert len(instance.get_runs()) == 2
