"""The parameters a simulated bioreactor reports: names, units, physical ranges, probe quality.

What belongs here: constants of the probes. What does not: the process (:mod:`lakehouse.sample.bioreactor`). Names are
those declared in ``ingestion/sources/bioreactor.yml``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """One measured quantity and the probe that measures it.

    Attributes:
        name: as it stands in the column ``parameter``.
        unit: as it stands in the column ``unit``.
        low: the smallest value ever written (a transmitter clips at the ends of its range).
        high: the largest value ever written.
        decimals: digits the transmitter shows.
        noise: standard deviation of white noise, in the unit.
        relative_noise: the same as a share of the value; zero stays exactly zero.
        drift: the most a probe wanders over one run, in the unit; each run draws its own, straight-line.
    """

    name: str
    unit: str
    low: float
    high: float
    decimals: int
    noise: float = 0.0
    relative_noise: float = 0.0
    drift: float = 0.0


FAST: tuple[Parameter, ...] = (
    Parameter("temperature", "°C", 20, 45, 2, noise=0.04, drift=0.05),
    Parameter("ph", "pH", 6, 8, 2, noise=0.008, drift=0.03),
    Parameter("do", "%", 0, 100, 1, noise=0.7, drift=2.0),
    Parameter("agitation", "rpm", 0, 1500, 0, noise=2.0),
    Parameter("feed", "mL/h", 0, 200, 2, relative_noise=0.006),
)
"""Probes read at every tick, in the order they are polled."""

TITRE = Parameter("titre", "g/L", 0, 15, 2, noise=0.01, relative_noise=0.02)
"""Measured in the laboratory from a sample, every two hours or so."""

PARAMETERS: tuple[Parameter, ...] = (*FAST, TITRE)

COLUMNS: tuple[str, ...] = ("timestamp", "batch_id", "equipment_id", "parameter", "value", "unit")

BASE_INTERVAL_SECONDS = 5.0
"""Seconds between two readings of one probe at scale 1."""

KEY_PREFIX = "raw/bioreactor"
"""The drop zone, relative to the lake root."""
