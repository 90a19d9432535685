"""Tables on the terminal: plain, aligned, with colour only where somebody looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    right: set[str] | frozenset[str] = frozenset(),
    colours: Mapping[str, str] | None = None,
) -> None:
    """Print rows under a header.

    Args:
        header: column names.
        rows: cells; None prints as an empty cell.
        right: names of right-aligned columns.
        colours: cell text → colour.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in header:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        cells = ["" if cell is None else str(cell) for cell in row]
        table.add_row(*(Text(cell, style=(colours or {}).get(cell, "")) for cell in cells))
    if not console.is_terminal:
        console.width = max(console.width, 200)  # a pipe has no width; never cut what a script may read
    console.print(table)
