"""Names that people type and read instead of (namespace, name), and which datasets a typed name may mean.

What belongs here: short names and the look-up. What does not: printing (``lakehouse.cli.lineage_show``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from lineage.names import Dataset

LAKE_ROOTS = ("raw", "incoming", "landing")
SUGGESTIONS = 5


def short_name(dataset: Dataset) -> str:
    """What people call a dataset: ``dim_batch``, ``raw/bioreactor``, ``dashboard.overview``."""
    if dataset.namespace.startswith(("duckdb:", "postgres:")):
        return dataset.name.rpartition(".")[2]
    parts = [part for part in dataset.name.split("/") if part]
    for root in LAKE_ROOTS:
        if root in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(root) :])
    return dataset.name if dataset.namespace.startswith("exposure:") else "/".join(parts[-2:])


def place(dataset: Dataset) -> str:
    """Where it is, for telling equal short names apart: ``duckdb curated``, ``postgres marts``, ``s3://lake``."""
    if dataset.namespace.startswith(("duckdb:", "postgres:")):
        return f"{dataset.namespace.partition(':')[0]} {dataset.name.rpartition('.')[0].rpartition('.')[2]}"
    return dataset.namespace


def matching(datasets: Iterable[Dataset], typed: str) -> list[Dataset]:
    """Those datasets that a typed name names, by the strictest reading that any of them fits.

    Readings: identity (``namespace name``), full name, short name, a whole tail of the name (``curated.dim_batch``,
    ``raw/bioreactor``); upper and lower case are the same.
    """
    known = sorted(datasets)
    wanted = typed.strip().lower().rstrip("/")
    readings = (
        lambda each: str(each),
        lambda each: each.name,
        short_name,
    )
    for reading in readings:
        if found := [each for each in known if reading(each).lower() == wanted]:
            return found
    tail = re.compile(rf"(^|[./]){re.escape(wanted)}$")
    return [each for each in known if wanted and tail.search(each.name.lower())]


def similar(datasets: Iterable[Dataset], typed: str) -> list[str]:
    """Short names that look like a typed one, the most similar first."""
    names = sorted({short_name(each) for each in datasets})
    wanted = typed.lower()
    close = difflib.get_close_matches(wanted, [name.lower() for name in names], n=SUGGESTIONS, cutoff=0.5)
    inside = [name.lower() for name in names if wanted and wanted in name.lower()]
    spelled = {name.lower(): name for name in names}
    return [spelled[name] for name in dict.fromkeys([*close, *inside])][:SUGGESTIONS]
