"""What the probes of one run report: readings with noise, drift and gaps, in the order they arrive.

What belongs here: turning a process profile into rows, a slice of the run at a time (memory never depends on the length
of a run). What does not: the process (:mod:`lakehouse.sample.bioreactor`) and files (:mod:`lakehouse.sample.writer`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lakehouse.sample.bioreactor import STEP_SECONDS, Floats
from lakehouse.sample.parameters import BASE_INTERVAL_SECONDS, FAST, PARAMETERS, TITRE

Integers = NDArray[np.int64]

_GAP_SECONDS = 600.0  # a missing span lasts about this long: a loose plug, a gateway that restarts
_TITRE_HOURS = 2.0
_RESEND_ROWS = 40  # a row sent twice comes again at most this many rows later
_SWAP_BLOCK = 64
_SWAP_SHARE = 0.16  # of blocks with one pair out of order: 0.5 % of rows

_FAST_CODES = np.arange(len(FAST), dtype=np.int8)
_TITRE_CODE = len(FAST)
_SCALE = np.array([10.0**parameter.decimals for parameter in FAST])
_LOW = np.array([parameter.low for parameter in FAST])
_HIGH = np.array([parameter.high for parameter in FAST])
_NOISE = np.array([parameter.noise for parameter in FAST])
_RELATIVE_NOISE = np.array([parameter.relative_noise for parameter in FAST])
_RELATIVE = np.flatnonzero(_RELATIVE_NOISE)


class Rows(NamedTuple):
    """Readings in arrival order.

    Attributes:
        time: microseconds since the start of the run.
        value: in the parameter's unit.
        code: position in ``PARAMETERS``.
    """

    time: Integers
    value: Floats
    code: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Faults:
    """How imperfect the data is, as shares from 0 to 0.5: rows sent twice, time without readings (per probe)."""

    duplicate_fraction: float
    gap_fraction: float


class Signals:
    """The readings of one run, made slice by slice; slices must be asked for in order, each once.

    Args:
        profile: array (step, parameter) from :func:`lakehouse.sample.bioreactor.simulate`.
        hours: length of the run.
        scale: multiplies the sampling rate of the probes.
        faults: how imperfect the data is.
        generator: source of all randomness of this run.
    """

    def __init__(
        self, profile: Floats, *, hours: float, scale: float, faults: Faults, generator: np.random.Generator
    ) -> None:
        self._profile = profile[:, : len(FAST)]
        self._slope = np.diff(self._profile, axis=0)
        self._generator = generator
        self._faults = faults
        self._interval = BASE_INTERVAL_SECONDS / scale
        self._seconds = hours * 3600.0
        self.ticks = max(int(self._seconds / self._interval), 2)
        self._poll_offset = np.rint(np.arange(len(FAST)) * self._interval * 1e6 / (len(FAST) + 1)).astype(np.int64)
        drift = np.array([parameter.drift for parameter in FAST])
        self._drift_start = generator.uniform(-0.5, 0.5, len(FAST)) * drift
        self._drift_rate = generator.uniform(-0.5, 0.5, len(FAST)) * drift / self._seconds
        self._gaps = [self._draw_gaps() for _ in FAST]
        self._titre = self._draw_titre(profile[:, _TITRE_CODE])

    def rows(self, first: int, last: int) -> Rows:
        """Everything that arrives in ticks ``first`` (included) to ``last`` (excluded)."""
        seconds = np.arange(first, last, dtype=np.float64) * self._interval
        values = self._measure(seconds)
        times = np.rint(seconds * 1e6).astype(np.int64)[:, None] + self._poll_offset
        codes = np.broadcast_to(_FAST_CODES, values.shape)

        order = self._with_duplicates(self._without_gaps(first, last))
        self._out_of_order(order)
        rows = Rows(times.reshape(-1)[order], values.reshape(-1)[order], codes.reshape(-1)[order])
        return self._with_titre(rows, first, last)

    def _measure(self, seconds: Floats) -> Floats:
        """True values (linear between simulation steps) with drift and noise, rounded and clipped."""
        position = seconds / STEP_SECONDS
        step = position.astype(np.int64)
        values: Floats = self._profile[step]
        values += self._slope[step] * (position - step)[:, None]
        noise = self._generator.standard_normal(values.shape, dtype=np.float32)
        relative = values[:, _RELATIVE] * _RELATIVE_NOISE[_RELATIVE] * noise[:, _RELATIVE]
        values += noise * _NOISE
        values[:, _RELATIVE] += relative
        values += self._drift_start + seconds[:, None] * self._drift_rate
        np.multiply(values, _SCALE, out=values)
        np.rint(values, out=values)
        np.divide(values, _SCALE, out=values)
        return np.clip(values, _LOW, _HIGH, out=values)

    def _draw_gaps(self) -> list[tuple[int, int]]:
        """Tick ranges without readings of one probe: equal spans, one in each of equal parts of the run."""
        missing = self._faults.gap_fraction * self.ticks
        count = int(np.ceil(self._faults.gap_fraction * self._seconds / _GAP_SECONDS))
        if missing < 1:
            return []
        count = min(count, int(missing))
        edges = np.rint(np.linspace(0, missing, count + 1)).astype(np.int64)
        # The first and last 2 % of a run are always read, so that start and end of a run do not depend on gaps.
        part = self.ticks * 0.96 / count
        gaps = []
        for index, length in enumerate(np.diff(edges).tolist()):
            free = max(part - length, 0.0)
            start = int(self.ticks * 0.02 + index * part + self._generator.uniform(0, free))
            gaps.append((start, start + length))
        return gaps

    def _draw_titre(self, titre: Floats) -> list[tuple[int, int, float]]:
        """Laboratory results as (arrival tick, sample time in µs, g/L), by arrival: they come an hour or two late."""
        end = self._seconds / 3600.0
        regular = np.arange(1.0, end - 0.5, _TITRE_HOURS)
        hours = [*(regular + self._generator.uniform(-1 / 6, 1 / 6, len(regular))).tolist(), end - 0.2]
        results = []
        for taken in (3600.0 * hour for hour in hours):
            true = float(titre[int(taken / STEP_SECONDS)])
            error = self._generator.standard_normal() * (TITRE.noise + TITRE.relative_noise * true)
            arrives = min(int((taken + self._generator.uniform(2700.0, 7200.0)) / self._interval), self.ticks - 1)
            value = round(min(max(true + error, TITRE.low), TITRE.high), TITRE.decimals)
            results.append((arrives, int(taken) * 1_000_000, value))
        return sorted(results)

    def _without_gaps(self, first: int, last: int) -> Integers:
        keep = np.ones((last - first, len(FAST)), dtype=bool)
        for probe, gaps in enumerate(self._gaps):
            for start, end in gaps:
                keep[max(start - first, 0) : max(end - first, 0), probe] = False
        return np.flatnonzero(keep)

    def _with_duplicates(self, order: Integers) -> Integers:
        """Send some rows twice, the second time a few rows later."""
        chosen = np.flatnonzero(self._generator.random(len(order), dtype=np.float32) < self._faults.duplicate_fraction)
        if not len(chosen):
            return order
        again = np.minimum(chosen + self._generator.integers(1, _RESEND_ROWS, len(chosen)), len(order))
        return np.insert(order, again, order[chosen])

    def _out_of_order(self, order: Integers) -> None:
        """Swap one pair of rows in some blocks, in place: a buffered message that overtakes another."""
        blocks = np.flatnonzero(self._generator.random(len(order) // _SWAP_BLOCK) < _SWAP_SHARE) * _SWAP_BLOCK
        one, other = blocks + self._generator.integers(0, _SWAP_BLOCK, (2, len(blocks)))
        order[one], order[other] = order[other], order[one]

    def _with_titre(self, rows: Rows, first: int, last: int) -> Rows:
        arrived = [(tick, time, value) for tick, time, value in self._titre if first <= tick < last]
        if not arrived:
            return rows
        at = [min((tick - first) * len(FAST), len(rows.time)) for tick, _, _ in arrived]
        return Rows(
            np.insert(rows.time, at, [time for _, time, _ in arrived]),
            np.insert(rows.value, at, [value for _, _, value in arrived]),
            np.insert(rows.code, at, np.int8(_TITRE_CODE)),
        )


def expected_rows(hours: float, scale: float, faults: Faults) -> int:
    """About how many rows a run of this length gives."""
    fast = hours * 3600.0 / BASE_INTERVAL_SECONDS * scale * len(FAST)
    kept = (1.0 - faults.gap_fraction) * (1.0 + faults.duplicate_fraction)
    return int(fast * kept + hours / _TITRE_HOURS * (len(PARAMETERS) - len(FAST)))
