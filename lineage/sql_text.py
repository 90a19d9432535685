"""SQL as text: long lists of file names taken out, long statements cut.

What belongs here: what needs no parser. What does not: column lineage (:mod:`lineage.columns`).
"""

from __future__ import annotations

import re

MAX_BYTES = 100_000
"""Longer SQL is cut."""
KEPT_LITERALS = 3
LONG_LIST = 12
"""From this many text literals in a row on only the first are shown."""

_LITERAL = r"'[^']*(?:''[^']*)*'"
_LIST = re.compile(
    rf"((?:{_LITERAL}\s*,\s*){{{KEPT_LITERALS - 1}}}{_LITERAL})((?:\s*,\s*{_LITERAL}){{{LONG_LIST - KEPT_LITERALS},}})"
)
_ONE = re.compile(_LITERAL)


def without_lists(sql: str) -> str:
    """The same statement with only the first few of many text literals in a row; the rest is counted in a comment.

    A staging model over thousands of files names them all. What is left still parses.
    """

    def short(found: re.Match[str]) -> str:
        return f"{found[1]} /* and {len(_ONE.findall(found[2])):,} more */"

    return _LIST.sub(short, sql)


def shown(sql: str, limit: int = MAX_BYTES) -> str:
    """SQL as an event tells it: file lists shortened, and cut at so many bytes with a mark that says so."""
    text = without_lists(sql).strip()
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    return f"{data[:limit].decode('utf-8', 'ignore')}\n-- cut here: {limit:,} of {len(data):,} bytes are shown"
