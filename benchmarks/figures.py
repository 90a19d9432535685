"""What a measure found: samples of two sides, taken in pairs, and the limit they are held to. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["ratio", "excess", "ours"]


@dataclass(frozen=True)
class Limit:
    """What a figure may be at most.

    Attributes:
        kind: ``ratio`` ours over baseline · ``excess`` ours minus baseline · ``ours`` our figure itself.
        value: the limit, in the figure's unit; a plain number for a ratio.
    """

    kind: Kind
    value: float


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: measure and quantity, e.g. ``startup: definitions load``.
        unit: of the samples: ``s``, ``ms`` or ``MB``.
        ours: our samples, in the order in which they were taken.
        against: what the baseline is; empty where there is none.
        baseline: its samples; sample i was taken right after (or before) ``ours[i]``.
        limit: what is promised, if anything.
    """

    name: str
    unit: str
    ours: Sequence[float]
    against: str = ""
    baseline: Sequence[float] = ()
    limit: Limit | None = None

    @property
    def ratio(self) -> float | None:
        """Median of the ratios pair by pair: a slow moment of the machine hits both halves of a pair."""
        if not self.baseline:
            return None
        return statistics.median(our / base for our, base in zip(self.ours, self.baseline, strict=True))

    @property
    def excess(self) -> float | None:
        """Median of the differences pair by pair, in the figure's unit."""
        if not self.baseline:
            return None
        return statistics.median(our - base for our, base in zip(self.ours, self.baseline, strict=True))

    @property
    def judged(self) -> float | None:
        """The number that the limit is about; None without a limit."""
        if self.limit is None:
            return None
        return {"ratio": self.ratio, "excess": self.excess, "ours": statistics.median(self.ours)}[self.limit.kind]

    @property
    def verdict(self) -> str:
        """``ok``, ``OVER``, or a dash where nothing is promised."""
        if self.limit is None or self.judged is None:
            return "–"
        return "ok" if self.judged <= self.limit.value else "OVER"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "against": self.against,
            "ours": list(self.ours),
            "baseline": list(self.baseline),
            "ours_median": statistics.median(self.ours),
            "baseline_median": statistics.median(self.baseline) if self.baseline else None,
            "ratio": self.ratio,
            "excess": self.excess,
            "limit": None if self.limit is None else {"kind": self.limit.kind, "value": self.limit.value},
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Outcome:
    """What a measure hands back.

    Attributes:
        figures: lines of the table.
        facts: sizes and other numbers that say what was measured, for JSON and below the table.
    """

    figures: list[Figure]
    facts: dict[str, Any] = field(default_factory=dict)
