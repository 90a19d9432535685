"""The files: schema, size, determinism, and the imperfections that were asked for."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_maker import UNTIL, Sample, make

from lakehouse.errors import ConfigError
from lakehouse.sample.parameters import FAST, PARAMETERS
from lakehouse.sample.writer import SampleReport, estimate, generate, schema
from lakehouse.storage.local import LocalLake

FAST_NAMES = [parameter.name for parameter in FAST]


def hashes(**arguments: object) -> tuple[dict[str, str], SampleReport]:
    """Digest of every file that `generate` hands over."""
    found: dict[str, str] = {}

    def sink(key: str, path: Path) -> None:
        found[key] = hashlib.sha256(path.read_bytes()).hexdigest()

    report = generate(sink, **{"until": UNTIL, **arguments})
    return found, report


def test_the_default_sample_has_the_promised_size(default_sample: Sample):
    report = default_sample.report
    assert 500_000 < report.rows < 1_000_000
    assert report.rows == len(default_sample.everything())
    assert report.size == sum(path.stat().st_size for path in default_sample.folder.iterdir())
    assert [file.key for file in report.files if file.kind == "batch"] == [
        f"raw/bioreactor/B{number:03d}.parquet" for number in range(1, 13)
    ]
    rows, size = estimate(12, 1.0)
    assert rows == pytest.approx(report.rows, rel=0.1)
    assert size == pytest.approx(report.size, rel=0.3)


def test_files_have_the_declared_columns_like_the_instrument_files(default_sample: Sample):
    path = default_sample.folder / "B001.parquet"
    assert pq.read_schema(path) == schema()
    assert [(field.name, str(field.type)) for field in schema()] == [
        ("timestamp", "timestamp[us]"),
        ("batch_id", "string"),
        ("equipment_id", "string"),
        ("parameter", "string"),
        ("value", "double"),
        ("unit", "string"),
    ]
    group = pq.ParquetFile(path).metadata.row_group(0)
    assert {group.column(index).compression for index in range(6)} == {"SNAPPY"}
    assert "RLE_DICTIONARY" in group.column(1).encodings


def test_values_lie_within_the_declared_ranges_and_carry_their_unit(default_sample: Sample):
    rows = default_sample.everything()
    assert not rows.isna().any().any()
    for parameter in PARAMETERS:
        of = rows[rows.parameter == parameter.name]
        assert set(of.unit) == {parameter.unit}
        assert parameter.low <= of.value.min()
        assert of.value.max() <= parameter.high
    assert set(rows.parameter) == {parameter.name for parameter in PARAMETERS}
    # Every reactor reports every parameter.
    assert len(rows.groupby(["equipment_id", "parameter"])) == 4 * 6
    # Cooled broth holds more oxygen than the calibration point: the transmitter clips at 100 %.
    assert (rows[rows.parameter == "do"].value == 100).sum() > 100


def test_titre_is_sampled_every_two_hours_and_does_not_fall_beyond_noise(clean_sample: Sample):
    rows = clean_sample.everything()
    for _, batch in rows[rows.parameter == "titre"].groupby("batch_id"):
        titre = batch.sort_values("timestamp")
        assert 7 <= len(titre) <= 10
        assert titre.timestamp.diff().dropna().between(pd.Timedelta(minutes=30), pd.Timedelta(hours=2.5)).all()
        assert (titre.value.diff().dropna() > -0.1 * titre.value.max()).all()
        assert titre.value.iloc[-1] > 2


def test_the_pump_reports_exactly_zero_until_it_starts(clean_sample: Sample):
    feed = clean_sample.read("B001").query("parameter == 'feed'").sort_values("timestamp")
    hours = (feed.timestamp - feed.timestamp.iloc[0]) / pd.Timedelta(hours=1)
    assert (feed.value[hours < 4.5] == 0).all()
    assert feed.value.max() > 20


def test_probes_carry_noise_of_the_declared_size(clean_sample: Sample):
    rows = clean_sample.read("B001").query("parameter == 'temperature'").sort_values("timestamp")
    hours = (rows.timestamp - rows.timestamp.iloc[0]) / pd.Timedelta(hours=1)
    steady = rows.value[(hours > 2) & (hours < 9)]
    assert steady.diff().std() / 2**0.5 == pytest.approx(0.04, rel=0.1)


def test_equal_arguments_give_byte_identical_files_and_another_seed_does_not():
    arguments = {"batches": 3, "scale": 0.2, "broken": ("truncated", "empty")}
    first, _ = hashes(**arguments, seed=5)
    again, _ = hashes(**arguments, seed=5)
    other, _ = hashes(**arguments, seed=6)
    assert first == again
    assert len(first) >= 6
    assert set(first.values()).isdisjoint(set(other.values()) - {first["raw/bioreactor/broken-empty.parquet"]})


def test_another_until_only_shifts_time(tmp_path: Path):
    shift = timedelta(days=3, hours=1, microseconds=7)
    one = make(tmp_path / "one", batches=2, scale=0.1).everything()
    two = make(tmp_path / "two", batches=2, scale=0.1, until=UNTIL + shift).everything()
    one["timestamp"] += shift
    pd.testing.assert_frame_equal(one, two)


def test_until_is_utc_whatever_zone_it_comes_in():
    arguments = {"batches": 1, "scale": 0.05}
    naive, _ = hashes(**arguments, until=datetime(2026, 3, 1, 12))
    aware, _ = hashes(**arguments, until=datetime(2026, 3, 1, 12, tzinfo=UTC))
    elsewhere, _ = hashes(**arguments, until=datetime.fromisoformat("2026-03-01T13:00:00+01:00"))
    assert naive == aware == elsewhere


def test_a_row_is_missing_or_sent_twice_as_often_as_asked(tmp_path: Path, clean_sample: Sample):
    asked = {"batches": 4, "late_fraction": 0, "seed": 3}
    gaps = make(tmp_path / "gaps", **asked, gap_fraction=0.1, duplicate_fraction=0).everything()
    twice = make(tmp_path / "twice", **asked, gap_fraction=0, duplicate_fraction=0.05).everything()
    whole = clean_sample.everything()
    assert not whole.duplicated().any()

    fast, fast_gaps, fast_twice = (rows[rows.parameter.isin(FAST_NAMES)] for rows in (whole, gaps, twice))
    missing = 1 - fast_gaps.groupby("parameter").size() / fast.groupby("parameter").size()
    assert missing.to_dict() == pytest.approx(dict.fromkeys(FAST_NAMES, 0.1), abs=0.001)
    assert not fast_gaps.duplicated().any()
    assert fast_twice.duplicated().sum() / len(fast) == pytest.approx(0.05, rel=0.05)
    assert len(fast_twice.drop_duplicates()) == len(fast)


def test_a_gap_is_a_span_of_minutes_not_scattered_rows(tmp_path: Path):
    rows = make(tmp_path, batches=1, late_fraction=0, gap_fraction=0.1, duplicate_fraction=0).everything()
    ph = rows[rows.parameter == "ph"].timestamp.sort_values().diff().dropna()
    holes = ph[ph > pd.Timedelta(seconds=6)]
    assert 5 <= len(holes) <= 12
    assert holes.between(pd.Timedelta(minutes=8), pd.Timedelta(minutes=11)).all()


def test_some_rows_arrive_out_of_order(clean_sample: Sample):
    fast = clean_sample.read("B002").query("parameter != 'titre'")
    backwards = (fast.timestamp.diff() < pd.Timedelta(0)).mean()
    assert 0.001 < backwards < 0.01


def test_a_late_file_carries_the_end_of_its_batch_and_the_first_file_lacks_it(tmp_path: Path):
    asked = {"batches": 4, "seed": 9, "duplicate_fraction": 0}
    late = make(tmp_path / "late", **asked, late_fraction=0.5)
    whole = make(tmp_path / "whole", **asked, late_fraction=0)
    tails = [file for file in late.report.files if file.kind == "late"]
    assert [file.key for file in tails] == [f"raw/bioreactor/{file.batch_id}-late.parquet" for file in tails]
    assert len(tails) == 2
    for file in tails:
        fast = [
            rows[rows.parameter.isin(FAST_NAMES)]
            for rows in (late.read(file.batch_id), late.read(f"{file.batch_id}-late"), whole.read(file.batch_id))
        ]
        main, tail, complete = fast
        assert set(tail.batch_id) == {file.batch_id}
        assert main.timestamp.max() < tail.timestamp.min()
        assert 0.08 < len(tail) / len(complete) < 0.27
        together = pd.concat([main, tail])[["timestamp", "parameter"]].sort_values(["timestamp", "parameter"])
        expected = complete[["timestamp", "parameter"]].sort_values(["timestamp", "parameter"])
        pd.testing.assert_frame_equal(together.reset_index(drop=True), expected.reset_index(drop=True))


def test_scale_multiplies_the_rows_and_not_the_process(tmp_path: Path):
    asked = {"batches": 1, "late_fraction": 0, "gap_fraction": 0, "duplicate_fraction": 0}
    coarse = make(tmp_path / "coarse", **asked, scale=0.5).everything()
    fine = make(tmp_path / "fine", **asked, scale=5).everything()
    assert len(fine) / len(coarse) == pytest.approx(10, rel=0.01)
    means = [rows.groupby("parameter").value.mean()[FAST_NAMES] for rows in (coarse, fine)]
    pd.testing.assert_series_equal(*means, rtol=0.01)


def test_many_rows_are_written_in_bounded_memory_and_bounded_row_groups(tmp_path: Path):
    script = """
import json, re, sys
from datetime import UTC, datetime
from pathlib import Path
from lakehouse.sample.writer import generate
from lakehouse.storage.local import LocalLake
calls = []
report = generate(LocalLake(Path(sys.argv[1])).write, batches=1, scale=90, until=datetime(2026, 3, 1, tzinfo=UTC),
                  late_fraction=0, progress=lambda *step: calls.append(step))
# ru_maxrss would include what the process that started this one held before it became this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps({"rows": report.rows, "peak": peak, "calls": calls}))
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["rows"] > 4_500_000
    assert told["peak"] < 300, f"peak memory was {told['peak']:.0f} MB"
    metadata = pq.ParquetFile(tmp_path / "raw/bioreactor/B001.parquet").metadata
    assert metadata.num_rows == told["rows"]
    sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert max(sizes) <= 1_000_000
    assert min(sizes[:-1]) >= 100_000
    rows_done = [call[0] for call in told["calls"]]
    assert rows_done == sorted(rows_done)
    assert rows_done[-1] == told["rows"]
    assert all(done <= expected for done, expected, _ in told["calls"])


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    batches=st.integers(1, 6),
    scale=st.sampled_from([0.001, 0.003, 0.02]),
    late=st.sampled_from([0.0, 0.3, 1.0]),
    gap=st.sampled_from([0.0, 0.01, 0.5]),
    duplicate=st.sampled_from([0.0, 0.5]),
)
def test_any_small_sample_is_readable_and_every_batch_is_there(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    batches: int,
    scale: float,
    late: float,
    gap: float,
    duplicate: float,
):
    root = tmp_path_factory.mktemp("any")
    asked = {"seed": seed, "batches": batches, "scale": scale, "late_fraction": late}
    sample = make(root, **asked, gap_fraction=gap, duplicate_fraction=duplicate)
    rows = sample.everything()
    assert rows.batch_id.nunique() == batches
    assert rows.timestamp.max() <= pd.Timestamp(UNTIL).tz_localize(None)
    assert rows.timestamp.min() >= pd.Timestamp(sample.report.first).tz_localize(None)
    assert all(file.rows > 0 for file in sample.report.files)


def test_all_wrong_arguments_are_reported_together(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        generate(
            LocalLake(tmp_path).write,
            batches=-1,
            scale=0,
            seed=-1,
            until=UNTIL,
            late_fraction=2,
            duplicate_fraction=-0.1,
            gap_fraction=0.9,
            broken=("truncated", "melted"),
        )
    message = str(caught.value)
    names = (
        "batches is -1",
        "scale is 0",
        "seed is -1",
        "late_fraction",
        "duplicate_fraction",
        "gap_fraction",
        "melted",
    )
    for name in names:
        assert name in message
    assert list(tmp_path.iterdir()) == []


def test_the_schema_needs_no_pandas_metadata(default_sample: Sample):
    metadata = pq.ParquetFile(default_sample.folder / "B001.parquet").metadata
    assert metadata.metadata is None or b"pandas" not in metadata.metadata
    assert isinstance(pq.read_table(default_sample.folder / "B001.parquet"), pa.Table)
