"""What a caller may choose, handed to every measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Sizes and repeats.

    Attributes:
        rows: about so many raw rows in ``pipeline_20m``.
        history: files already processed on the long side of ``new_file``.
        repeat: rounds of every measure; None: each measure's own number.
        seconds: so long ``idle_cost`` looks, after having waited as long or half a minute; None: its own number.
        say: told what is going on, one line at a time.
    """

    rows: int
    history: int
    repeat: int | None
    seconds: float | None
    say: Callable[[str], None]
