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

_LITERAL = r"'(?:[^']|'')*+'"
_TOKENS = re.compile(
    rf"--[^\n]*+|/\*.*?\*/|\"[^\"]*+\"|({_LITERAL}(?:\s*+,\s*+{_LITERAL})*+)(?: /\* and ([\d,]+) more \*/)?",
    re.DOTALL,
)  # comments and quoted names may hold apostrophes
_ONE = re.compile(_LITERAL)


def without_lists(sql: str) -> str:
    """The same statement with only the first few of many text literals in a row; the rest is counted in a comment.

    A staging model over thousands of files names them all. What is left still parses.
    """
    return _TOKENS.sub(_short, sql)


def _short(found: re.Match[str]) -> str:
    literals = _ONE.findall(found[1] or "")
    if len(literals) < LONG_LIST:
        return found[0]
    more = len(literals) - KEPT_LITERALS + int((found[2] or "0").replace(",", ""))  # shortened once before
    return f"{', '.join(literals[:KEPT_LITERALS])} /* and {more:,} more */"


def shown(sql: str, limit: int = MAX_BYTES) -> str:
    """SQL as an event tells it: file lists shortened, and cut at so many bytes with a mark that says so."""
    text = without_lists(sql).strip()
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    return f"{data[:limit].decode('utf-8', 'ignore')}\n-- cut here: {limit:,} of {len(data):,} bytes are shown"
