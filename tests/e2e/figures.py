"""An independent computation of the curated figures, by pandas, from the dropped files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

SMALL = ("--batches", "3", "--scale", "0.05", "--seed", "4")
"""Arguments of a sample that is made in a moment."""


def readings(folder: Path, order: list[str] | None = None) -> pd.DataFrame:
    """All readings in a drop zone, one per key: of duplicates, the file that arrived last and its last row win.

    Args:
        folder: the drop zone.
        order: file names in the order they arrived; by default by name.
    """
    names = order or sorted(path.name for path in folder.glob("*.parquet"))
    frames = []
    for number, name in enumerate(names):
        frame = pd.read_parquet(folder / name)
        frames.append(frame.assign(arrival=number, row=range(len(frame))))
    every = pd.concat(frames, ignore_index=True)
    for column in ("batch_id", "equipment_id", "parameter", "unit"):
        every[column] = every[column].astype("string").str.strip().replace("", pd.NA)
    every["parameter"] = every["parameter"].str.lower()
    every["timestamp"] = pd.to_datetime(every["timestamp"])
    every = every.sort_values(["arrival", "row"])
    return every.drop_duplicates(["batch_id", "equipment_id", "parameter", "unit", "timestamp"], keep="last")


def statistics(folder: Path, order: list[str] | None = None) -> pd.DataFrame:
    """Count, mean, sample standard deviation, minimum and maximum per batch, equipment and parameter, by pandas."""
    grouped = readings(folder, order).groupby(["batch_id", "equipment_id", "parameter"])["value"]
    return grouped.agg(["count", "mean", "std", "min", "max"]).reset_index()
