"""How the tests here make and read samples."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from lakehouse.sample.writer import SampleReport, generate
from lakehouse.storage.local import LocalLake

UNTIL = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Sample:
    root: Path
    report: SampleReport

    @property
    def folder(self) -> Path:
        return self.root / "raw/bioreactor"

    def read(self, *names: str) -> pd.DataFrame:
        return pd.concat([pd.read_parquet(self.folder / f"{name}.parquet") for name in names], ignore_index=True)

    def everything(self) -> pd.DataFrame:
        return self.read(*(Path(file.key).stem for file in self.report.files if file.kind != "broken"))


def make(root: Path, **arguments: Any) -> Sample:
    return Sample(root, generate(LocalLake(root).write, **{"until": UNTIL, **arguments}))
