"""What a step tells somebody who is watching in the same process: the headless run's terminal.

Runs that the daemon or the web page start have no listener; everything said here is in their event log as well.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class AssetLine:
    """One line of the closing table.

    Attributes:
        asset: asset key.
        layer: raw, staging, intermediate, curated or mart.
        status: built, unchanged, held, empty, failed, skipped, blocked.
        rows: rows the asset holds now, where known.
        seconds: time spent on it.
        passed, warned, failed: number of its checks that came out so.
        reason: why it is not built.
    """

    asset: str
    layer: str
    status: str
    rows: int | None = None
    seconds: float = 0.0
    passed: int = 0
    warned: int = 0
    failed: int = 0
    reason: str = ""


_notes: list[Callable[[str], None]] = []
_lines: list[Callable[[AssetLine], None]] = []


@contextlib.contextmanager
def listening(on_note: Callable[[str], None], on_line: Callable[[AssetLine], None]) -> Iterator[None]:
    """Listen to what is said in this process for the length of the block."""
    _notes.append(on_note)
    _lines.append(on_line)
    try:
        yield
    finally:
        _notes.remove(on_note)
        _lines.remove(on_line)


def note(text: str) -> None:
    """Say what is going on right now (a wait, a file, a model)."""
    for listener in _notes:
        listener(text)


def line(item: AssetLine) -> None:
    """Report the outcome of one asset."""
    for listener in _lines:
        listener(item)
