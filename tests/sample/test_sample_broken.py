"""Broken files are broken in the way their name says; corrected files change as asked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_maker import UNTIL, Sample, make

from lakehouse.errors import ConfigError
from lakehouse.sample.broken import BROKEN
from lakehouse.sample.parameters import COLUMNS
from lakehouse.sample.replace import corrected
from lakehouse.sample.writer import generate, schema
from lakehouse.settings import PROJECT_ROOT, Settings
from lakehouse.storage import open_lake


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sample = make(tmp_path_factory.mktemp("broken"), batches=1, scale=0.02, late_fraction=0, broken=tuple(BROKEN))
    kinds = [file.kind for file in sample.report.files]
    assert kinds == ["batch"] + ["broken"] * len(BROKEN)
    return sample.folder


def test_there_is_one_file_for_each_kind_and_good_ones_beside_them(folder: Path):
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == len(BROKEN) + 1
    assert names[0] == "B001.parquet"
    assert all(name.startswith("broken-") and name.endswith(".parquet") for name in names[1:])


@pytest.mark.parametrize("kind", ["truncated", "csv", "zero-bytes"])
def test_what_is_not_parquet_cannot_be_opened_as_parquet(folder: Path, kind: str):
    with pytest.raises(pa.ArrowInvalid):
        pq.ParquetFile(folder / f"broken-{kind}.parquet")


def test_the_truncated_file_begins_like_parquet_and_the_csv_is_csv(folder: Path):
    assert (folder / "broken-truncated.parquet").read_bytes()[:4] == b"PAR1"
    assert list(pd.read_csv(folder / "broken-csv.parquet").columns) == list(COLUMNS)
    assert (folder / "broken-zero-bytes.parquet").stat().st_size == 0


def test_wrong_types_are_text_that_cannot_be_cast(folder: Path):
    table = pq.read_table(folder / "broken-wrong-types.parquet")
    assert table.schema.field("timestamp").type == pa.string()
    assert set(table["value"].to_pylist()) == {"n/a"}


def test_a_column_is_missing_or_extra(folder: Path):
    assert "value" not in pq.read_schema(folder / "broken-missing-column.parquet").names
    assert pq.read_schema(folder / "broken-extra-column.parquet").names == [*COLUMNS, "operator"]


def test_the_empty_file_has_columns_and_no_rows(folder: Path):
    table = pq.read_table(folder / "broken-empty.parquet")
    assert table.schema.equals(schema())
    assert len(table) == 0


@pytest.mark.parametrize(("kind", "column"), [("null-batch-ids", "batch_id"), ("null-timestamps", "timestamp")])
def test_some_rows_lack_what_they_must_have(folder: Path, kind: str, column: str):
    table = pq.read_table(folder / f"broken-{kind}.parquet")
    assert table.schema.equals(schema())
    assert table[column].null_count / len(table) == pytest.approx(1 / 11, abs=0.01)
    assert sum(table[name].null_count for name in COLUMNS if name != column) == 0


def test_some_values_are_out_of_range_and_the_rest_is_not(folder: Path):
    rows = pd.read_parquet(folder / "broken-out-of-range.parquet")
    assert set(rows.value[rows.parameter.eq("temperature") & ~rows.value.between(20, 45)]) == {400.0}
    assert set(rows.value[rows.parameter.eq("ph") & ~rows.value.between(6, 8)]) == {-1.0}
    assert 0.01 < rows.value.isin([400.0, -1.0]).mean() < 0.1


def test_unusual_files_are_good_inside(folder: Path):
    (awkward,) = folder.glob("broken-awkward *.parquet")
    assert " " in awkward.name
    assert not awkward.name.isascii()
    assert pq.read_schema(awkward).equals(schema())
    unknown = pd.read_parquet(folder / "broken-unknown-parameter.parquet")
    assert set(unknown.parameter) == {"conductivity"}
    assert set(unknown.batch_id) == {"BROKEN-UNKNOWN-PARAMETER"}


def test_the_directory_is_a_directory(folder: Path):
    assert (folder / "broken-directory.parquet").is_dir()


def test_a_lake_takes_the_files_as_they_come(tmp_path: Path):
    lake = open_lake(Settings(_env_file=None, data_dir=tmp_path))
    report = generate(lake.write, batches=2, scale=0.02, until=UNTIL, broken=("awkward_name", "csv"))
    listed = {found.key: found.size for found in lake.list("raw/bioreactor")}
    assert listed == {file.key: file.size for file in report.files}


def test_a_corrected_file_shifts_one_parameter_and_drops_the_end(default_sample: Sample, tmp_path: Path):
    source = default_sample.folder / "B003.parquet"
    before = pd.read_parquet(source)
    rows = corrected(source, tmp_path / "B003.parquet", offsets={"ph": 0.1, "do": -1.0}, keep=0.8)
    after = pd.read_parquet(tmp_path / "B003.parquet")
    assert rows == len(after) == int(len(before) * 0.8)
    expected = before.head(rows).copy()
    expected.loc[expected.parameter == "ph", "value"] += 0.1
    expected.loc[expected.parameter == "do", "value"] -= 1.0
    pd.testing.assert_frame_equal(after, expected)
    assert pq.read_schema(tmp_path / "B003.parquet").equals(schema())


def test_a_corrected_file_keeps_at_least_something(default_sample: Sample, tmp_path: Path):
    with pytest.raises(ConfigError, match="keep is 0"):
        corrected(default_sample.folder / "B003.parquet", tmp_path / "x.parquet", keep=0)


def test_the_reference_page_explains_every_kind():
    page = (PROJECT_ROOT / "docs/reference/sample-data.md").read_text()
    assert [kind for kind in BROKEN if f"| `{kind}` |" not in page] == []
