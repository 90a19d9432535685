"""The table a person reads. Pure: text from figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.figures import Figure

HEAD = ("measure", "ours", "baseline", "", "ratio", "limit", "verdict")
RIGHT = {1, 2, 4}


def render(figures: Sequence[Figure]) -> str:
    """Aligned columns; a limit that was missed reads ``OVER``."""
    rows = [HEAD, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])


def amount(value: float, unit: str) -> str:
    """A number with as many digits as it deserves: ``0.214 s``, ``12.3 s``, ``1,234 MB``."""
    if unit == "s":
        return f"{value:.3f} s" if value < 1 else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    return f"{value:.2f} {unit}" if unit in {"%", "ms"} else f"{value:,.0f} {unit}"


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        amount(statistics.median(figure.ours), figure.unit),
        amount(statistics.median(figure.baseline), figure.unit) if figure.baseline else "–",
        figure.against,
        f"{figure.ratio:.2f}x" if figure.ratio is not None else "–",
        _limit(figure),
        figure.verdict,
    )


def _limit(figure: Figure) -> str:
    if figure.limit is None:
        return "–"
    if figure.limit.kind == "ratio":
        return f"≤ {figure.limit.value:g}x"
    plain = f"{figure.limit.value:,g} {figure.unit}"
    return f"≤ {plain}" if figure.limit.kind == "ours" else f"≤ baseline + {plain} (is {figure.excess:+.2f})"


def _aligned(row: tuple[str, ...], widths: Sequence[int]) -> list[str]:
    return [
        text.rjust(width) if column in RIGHT else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
