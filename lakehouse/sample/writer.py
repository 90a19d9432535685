"""Writes simulated runs as the files a reactor's historian would drop: one Parquet file per batch.

What belongs here: which runs there are, when and on which reactor; streaming their rows into files. What does not: the
process, the probes, and where files go: a lake's own ``write`` takes them.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError
from lakehouse.sample.broken import BROKEN, BROKEN_SCALE, write_broken
from lakehouse.sample.parameters import COLUMNS, KEY_PREFIX, PARAMETERS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from lakehouse.sample.bioreactor import Floats
    from lakehouse.sample.signals import Faults, Rows, Signals

Sink = Callable[[str, Path], object]
"""Takes a key (posix path relative to the lake root) and a finished local file, which it may move away."""
Progress = Callable[[int, int, str], None]
"""Called after each row group with rows written so far, rows expected (about), and the key being written."""

TICKS_PER_ROW_GROUP = 100_000  # of five probes: half a million rows, some 30 MB while in memory
RUNS_PER_BLOCK = 64  # simulated together
REACTORS = 4
MAX_SCALE = 10_000.0  # two readings per millisecond; more is no probe
BYTES_PER_ROW = 6.5  # measured; for estimates only
_TYPICAL_HOURS = 16.0
_CYCLE_HOURS = 32.0  # a reactor's run, emptying, cleaning and sterilising


@dataclass(frozen=True, slots=True)
class SampleFile:
    """One file written.

    Attributes:
        key: posix path relative to the lake root.
        kind: ``batch``, ``late`` (the last part of a batch) or ``broken``.
        rows: rows in it; 0 for broken files, whose rows do not count.
        size: bytes.
        batch_id: the batch it belongs to; None for broken files.
    """

    key: str
    kind: str
    rows: int
    size: int
    batch_id: str | None = None


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What :func:`generate` wrote, oldest batch first, broken files last."""

    files: tuple[SampleFile, ...]
    batches: int
    first: datetime
    last: datetime

    @property
    def rows(self) -> int:
        """Rows in all files that are not broken."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Run:
    """One batch: what it is called, where and when it ran, and what happened (array step by parameter)."""

    batch_id: str
    equipment_id: str
    start: datetime
    hours: float
    feed_start_hours: float
    shift_hours: float
    profile: Floats


def estimate(batches: int, scale: float) -> tuple[int, int]:
    """About how many rows and bytes :func:`generate` would write; for a check of free disk and for progress."""
    from lakehouse.sample.signals import Faults, expected_rows

    rows = batches * expected_rows(_TYPICAL_HOURS, scale, Faults(0.0, 0.0))
    return rows, int(rows * BYTES_PER_ROW)


def generate(
    sink: Sink,
    *,
    batches: int = 12,
    scale: float = 1.0,
    seed: int = 0,
    until: datetime,
    late_fraction: float = 0.1,
    duplicate_fraction: float = 0.002,
    gap_fraction: float = 0.01,
    broken: Sequence[str] = (),
    progress: Progress | None = None,
    work_dir: Path | None = None,
) -> SampleReport:
    """Write sample runs; equal arguments give byte-identical files, another ``until`` only shifts their times.

    The newest batch ends at ``until``, having begun at most 18 hours before; earlier ones reach back over four
    reactors, eight hours apart. One row group is in memory at a time, whatever the size.

    Args:
        sink: takes each finished file, e.g. a lake's ``write``.
        batches: number of runs.
        scale: multiplies the sampling rate; 1 is one reading per probe every five seconds, about 58,000 rows a batch.
        seed: chooses the runs and everything random in them; not negative.
        until: end of the newest run; without a time zone it is taken as UTC.
        late_fraction: share of batches whose last part comes in a file of its own, ``<batch>-late.parquet``.
        duplicate_fraction: share of probe readings sent twice, 0 to 0.5.
        gap_fraction: share of each probe's time without readings, 0 to 0.5.
        broken: names from :data:`lakehouse.sample.broken.BROKEN`; one file of each is added.
        progress: called after each row group.
        work_dir: where a file is put together before it goes to the sink; default the system's temporary folder.

    Raises:
        ConfigError: arguments out of range; all faults in one message.
    """
    _check(batches, scale, seed, late_fraction, duplicate_fraction, gap_fraction, broken)
    from lakehouse.sample.signals import Faults

    until = (until if until.tzinfo else until.replace(tzinfo=UTC)).astimezone(UTC)
    faults = Faults(duplicate_fraction, gap_fraction)
    late = _late_cuts(batches, late_fraction, seed)
    files: list[SampleFile] = []
    first = until
    expected = estimate(batches, scale)[0]
    with tempfile.TemporaryDirectory(prefix="lakehouse-sample-", dir=work_dir) as folder:
        for number, run in enumerate(runs(batches, seed, until), start=1):
            first = min(first, run.start)
            signals = _signals(run, number, seed, scale, faults)
            cut = int(signals.ticks * late.get(number, 1.0))
            parts = [("batch", run.batch_id, 0, cut), ("late", f"{run.batch_id}-late", cut, signals.ticks)]
            for kind, name, begin, end in parts:
                if begin == end:
                    continue
                key, path = f"{KEY_PREFIX}/{name}.parquet", Path(folder) / "part.parquet"
                done = sum(file.rows for file in files)
                rows = 0
                for rows in _write(path, run, signals, begin, end):
                    if progress:
                        progress(done + rows, max(expected, done + rows), key)
                files.append(SampleFile(key, kind, rows, path.stat().st_size, run.batch_id))
                sink(key, path)
        if broken:
            files += _broken_files(broken, sink, Path(folder), seed, until)
    return SampleReport(tuple(files), batches, first, until)


def runs(batches: int, seed: int, until: datetime) -> Iterator[Run]:
    """The runs of a sample, oldest first. Run number n has the same recipe and noise whatever the time."""
    import numpy as np

    from lakehouse.sample.bioreactor import draw_recipes, simulate

    width = max(len(str(batches)), 3)
    for block in range(1, batches + 1, RUNS_PER_BLOCK):
        numbers = range(block, min(block + RUNS_PER_BLOCK, batches + 1))
        generators = [_generator(seed, number, stream=0) for number in numbers]
        recipes = draw_recipes(generators)
        profiles = simulate(recipes)
        for index, number in enumerate(numbers):
            back = batches - number
            delay = generators[index].uniform(0.0, 2.0) if back else 0.0
            hours = float(recipes.duration[index])
            end = until - timedelta(hours=back * _CYCLE_HOURS / REACTORS + delay)
            steps = int(np.ceil(hours * 120.0)) + 2
            yield Run(
                batch_id=f"B{number:0{width}d}",
                equipment_id=f"BR-{(number - 1) % REACTORS + 1:02d}",
                start=end - timedelta(hours=hours),
                hours=hours,
                feed_start_hours=float(profiles.feed_start[index]),
                shift_hours=float(recipes.shift[index]),
                profile=profiles.values[index, :steps],
            )


def schema() -> pa.Schema:
    """The columns of every file: naive timestamps in UTC (µs), strings, and a float64 value."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {"timestamp": pa.timestamp("us"), "value": pa.float64()}
    return pa.schema([pa.field(name, types.get(name, pa.string())) for name in COLUMNS])


def _write(path: Path, run: Run, signals: Signals, begin: int, end: int) -> Iterator[int]:
    """Write ticks ``begin`` to ``end`` of a run, yielding the rows written so far after each row group."""
    import pyarrow.parquet as pq

    total = 0
    coded: Any = ["batch_id", "equipment_id", "parameter", "value", "unit"]  # the stubs know only True and False
    writer = None
    try:
        for first in range(begin, end, TICKS_PER_ROW_GROUP):
            table = _table(run, signals.rows(first, min(first + TICKS_PER_ROW_GROUP, end)))
            if writer is None:
                # Without the Arrow schema in the file, dictionary columns read back as the plain strings they are.
                writer = pq.ParquetWriter(
                    path, table.schema, compression="snappy", use_dictionary=coded, store_schema=False
                )
            writer.write_table(table, row_group_size=len(table))
            total += len(table)
            yield total
    finally:
        if writer is not None:
            writer.close()


def _table(run: Run, rows: Rows) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    start = int((run.start - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    same = np.zeros(len(rows.code), dtype=np.int8)
    names = [parameter.name for parameter in PARAMETERS]
    units = [parameter.unit for parameter in PARAMETERS]
    columns = (
        _array(rows.time + start, pa.timestamp("us")),
        _dictionary(same, [run.batch_id]),
        _dictionary(same, [run.equipment_id]),
        _dictionary(rows.code, names),
        _array(rows.value, pa.float64()),
        _dictionary(rows.code, units),
    )
    return pa.Table.from_arrays(list(columns), names=list(COLUMNS))


# ``pa.array`` imports pandas before it does anything, a second of start-up: these two build on buffers instead.
def _array(values: NDArray[Any], type_: pa.DataType) -> pa.Array[Any]:
    """An Arrow array over numpy's own memory."""
    import pyarrow as pa

    buffer: Any = values  # the stubs do not know that numpy arrays are buffers
    array: pa.Array[Any] = pa.Array.from_buffers(type_, len(values), [None, pa.py_buffer(buffer)])
    return array


def _dictionary(codes: NDArray[np.int8], texts: list[str]) -> pa.Array[Any]:
    """A dictionary-encoded text column."""
    import numpy as np
    import pyarrow as pa

    encoded = [text.encode() for text in texts]
    ends: Any = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    words = pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))
    return pa.DictionaryArray.from_arrays(_array(codes, pa.int8()), words)


def _signals(run: Run, number: int, seed: int, scale: float, faults: Faults) -> Signals:
    from lakehouse.sample.signals import Signals

    generator = _generator(seed, number, stream=1)
    return Signals(run.profile, hours=run.hours, scale=scale, faults=faults, generator=generator)


def _broken_files(kinds: Sequence[str], sink: Sink, folder: Path, seed: int, until: datetime) -> list[SampleFile]:
    from lakehouse.sample.signals import Faults

    run = next(runs(1, seed, until))
    signals = _signals(run, 1, seed, BROKEN_SCALE, Faults(0.0, 0.0))
    good = _table(run, signals.rows(0, signals.ticks)).cast(schema())
    files = []
    for kind in dict.fromkeys(kinds):
        path = folder / "broken"
        key = f"{KEY_PREFIX}/{write_broken(kind, good, path)}"
        files.append(SampleFile(key, "broken", 0, path.stat().st_size))
        sink(key, path)
    return files


def _late_cuts(batches: int, fraction: float, seed: int) -> dict[int, float]:
    """Which run numbers come in two files, and the share of the run that the first file carries."""
    generator = _generator(seed, 0, stream=2)
    count = math.ceil(fraction * batches - 1e-9)
    chosen = generator.permutation(batches)[:count] + 1
    return {int(number): float(generator.uniform(0.75, 0.9)) for number in chosen}


def _generator(seed: int, number: int, *, stream: int) -> np.random.Generator:
    import numpy as np

    return np.random.Generator(np.random.SFC64([seed, number, stream]))


def _check(
    batches: int, scale: float, seed: int, late: float, duplicates: float, gaps: float, broken: Sequence[str]
) -> None:
    faults = []
    if batches < (0 if broken else 1):
        faults.append(f"batches is {batches}: at least 1 is needed, or broken files alone")
    if not 0.001 <= scale <= MAX_SCALE:
        faults.append(f"scale is {scale:g}: it must lie between 0.001 and {MAX_SCALE:,.0f}")
    if seed < 0:
        faults.append(f"seed is {seed}: it must not be negative")
    if not 0 <= late <= 1:
        faults.append(f"late_fraction is {late:g}: it must lie between 0 and 1")
    for name, share in (("duplicate_fraction", duplicates), ("gap_fraction", gaps)):
        if not 0 <= share <= 0.5:
            faults.append(f"{name} is {share:g}: it must lie between 0 and 0.5")
    unknown = [kind for kind in broken if kind not in BROKEN]
    if unknown:
        faults.append(f"unknown kinds of broken file: {', '.join(unknown)}; known are {', '.join(BROKEN)}")
    if faults:
        raise ConfigError(
            "cannot make sample data: " + "; ".join(faults), remedy="correct these options and run it again"
        )
