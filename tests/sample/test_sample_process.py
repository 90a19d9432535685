"""The simulated runs are plausible: phases, controllers, ranges and places in time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_maker import UNTIL, Sample

from lakehouse.sample import bioreactor
from lakehouse.sample.parameters import PARAMETERS
from lakehouse.sample.writer import Run, runs
from lakehouse.settings import PROJECT_ROOT

NAMES = [parameter.name for parameter in PARAMETERS]


def column(run: Run, name: str, begin: float, end: float) -> np.ndarray:
    """True values of one parameter between two hours of a run."""
    return run.profile[int(begin * 120) : int(end * 120), NAMES.index(name)]


@pytest.fixture(scope="module")
def four() -> list[Run]:
    return list(runs(4, 3, UNTIL))


def test_ranges_and_units_are_those_declared():
    assert {p.name: (p.unit, p.low, p.high) for p in PARAMETERS} == {
        "temperature": ("°C", 20, 45),
        "ph": ("pH", 6, 8),
        "do": ("%", 0, 100),
        "agitation": ("rpm", 0, 1500),
        "feed": ("mL/h", 0, 200),
        "titre": ("g/L", 0, 15),
    }


def test_parameters_are_declared_with_the_same_unit_and_a_range_that_holds_them():
    declared = yaml.safe_load((PROJECT_ROOT / "ingestion/sources/bioreactor.yml").read_text())["parameters"]
    by_name = {entry["name"]: entry for entry in declared}
    for parameter in PARAMETERS:
        entry = by_name[parameter.name]
        assert entry["unit"] == parameter.unit
        assert entry["min"] <= parameter.low < parameter.high <= entry["max"]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), batches=st.integers(1, 70))
def test_every_run_goes_through_all_phases_within_physical_ranges(seed: int, batches: int):
    for run in runs(batches, seed, UNTIL):
        assert 14.5 <= run.hours <= 17.5
        assert 4 < run.feed_start_hours < run.shift_hours < run.hours - 3
        for name, low, high in (("temperature", 20, 45), ("ph", 6, 8), ("agitation", 0, 1500), ("feed", 0, 200)):
            values = column(run, name, 0, run.hours)
            assert low <= values.min()
            assert values.max() <= high
        titre = column(run, "titre", 0, run.hours)
        assert (np.diff(titre) >= 0).all()
        assert titre[int(run.shift_hours * 120) - 1] == 0
        assert 2 < titre[-1] < 15


def test_feed_is_zero_before_feed_start_grows_exponentially_and_stops_for_harvest(four: list[Run]):
    for run in four:
        assert (column(run, "feed", 0, run.feed_start_hours - 0.01) == 0).all()
        fed = column(run, "feed", run.feed_start_hours + 0.02, run.shift_hours - 0.02)
        ratios = fed[1:] / fed[:-1]
        assert ratios == pytest.approx(ratios[0], abs=1e-9)
        assert 0.20 <= np.log(ratios[0]) * 120 <= 0.25
        assert (column(run, "feed", run.hours - 0.5, run.hours) == 0).all()


def test_oxygen_spikes_when_glucose_runs_out_and_the_stirrer_answers(four: list[Run]):
    for run in four:
        start = run.feed_start_hours
        assert column(run, "do", start - 1, start - 0.5).mean() == pytest.approx(30, abs=5)
        assert column(run, "do", start - 0.1, start).max() > 90
        assert column(run, "do", start + 0.5, run.shift_hours).mean() == pytest.approx(30, abs=3)
        assert column(run, "agitation", start - 0.05, start).min() == bioreactor.AGITATION_MIN
        assert column(run, "agitation", run.shift_hours - 0.1, run.shift_hours).mean() > 500


def test_ph_stays_around_the_dead_band_and_both_sides_of_the_set_point_are_seen(four: list[Run]):
    for run in four:
        ph = column(run, "ph", 1, run.hours)
        assert ph.min() > bioreactor.PH_SETPOINT - bioreactor.PH_DEAD_BAND - 0.02
        assert ph.max() < bioreactor.PH_SETPOINT + bioreactor.PH_DEAD_BAND + 0.02
        assert ph.min() < bioreactor.PH_SETPOINT < ph.max()


def test_temperature_is_shifted_for_production_and_the_broth_is_cooled_for_harvest(four: list[Run]):
    for run in four:
        assert column(run, "temperature", 2, run.shift_hours - 0.02).mean() == pytest.approx(37, abs=0.05)
        assert column(run, "temperature", run.shift_hours + 1, run.hours - 0.7).mean() == pytest.approx(30, abs=0.05)
        assert column(run, "temperature", run.hours - 0.05, run.hours).mean() < 23


def test_growth_before_glucose_runs_out_is_exponential_at_the_monod_rate():
    # Half the largest rate where glucose equals the Monod constant, all of it where glucose abounds.
    assert bioreactor.monod(np.array([0.05, 500.0])) == pytest.approx([0.5, 1.0], abs=1e-3)
    # F = µ·X·V/(Yxs·Sf) = 0.2 · 5 · 3 / (0.45 · 500) L/h
    feed = bioreactor.exponential_feed(np.array([0.2]), np.array([5.0]), np.array([3.0]))
    assert feed == pytest.approx([13.3333], abs=1e-3)
    # The curve of Baranyi and Roberts lags exactly by `lag` in the long run: its integral falls short of t by lag.
    hours = np.arange(0, 30, 0.001)
    share = np.array([bioreactor.adaptation(hour, np.array([1.0]), np.array([0.6]))[0] for hour in hours])
    assert hours[-1] - share.sum() * 0.001 == pytest.approx(1.0, abs=0.01)


def test_oxygen_falls_with_demand_and_rises_with_the_stirrer():
    idle = bioreactor.dissolved_oxygen(np.array([0.0]), np.array([300.0]), np.array([37.0]))
    slow = bioreactor.dissolved_oxygen(np.array([0.5]), np.array([300.0]), np.array([37.0]))
    fast = bioreactor.dissolved_oxygen(np.array([0.5]), np.array([900.0]), np.array([37.0]))
    assert idle == pytest.approx([100.0])
    # kLa = 550 · 0.3^1.2 = 129.7 1/h; 0.5 / 129.7 / 0.0069 = 55.9 % of saturation is used up
    assert slow == pytest.approx([44.1], abs=0.1)
    assert slow < fast < idle


def test_the_newest_run_ends_at_until_and_began_within_a_day(default_sample: Sample):
    rows = default_sample.everything()
    until = pd.Timestamp(UNTIL).tz_localize(None)
    newest = rows[rows.batch_id == "B012"]
    assert until - pd.Timedelta(minutes=1) < newest.timestamp.max() <= until
    assert until - newest.timestamp.min() < pd.Timedelta(hours=18)
    assert rows.timestamp.max() == newest.timestamp.max()


def test_a_reactor_runs_one_batch_at_a_time():
    by_reactor: dict[str, list[Run]] = {}
    for run in runs(40, 1, UNTIL):
        by_reactor.setdefault(run.equipment_id, []).append(run)
    assert sorted(by_reactor) == ["BR-01", "BR-02", "BR-03", "BR-04"]
    for series in by_reactor.values():
        for earlier, later in pairwise(series):
            assert (later.start - earlier.start).total_seconds() / 3600 > earlier.hours + 6
