"""What arrives in the drop zone, drawn from a seed: new files, replaced ones, broken ones.

What belongs here: making and dropping files. Every version ever dropped is kept in memory, so that the undisturbed
platform can be given the same ones in the same order.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from object_stores import BUCKET, client

PARAMETERS = {"temperature": (37.0, "°C"), "ph": (7.0, "pH"), "do": (40.0, "%")}
FOLDER = "raw/bioreactor"


@dataclass
class Arrivals:
    """The files dropped so far.

    Attributes:
        rng: where every choice comes from.
        rounds: per round, the (file name, content) pairs in the order they were dropped.
        readings: batch → rows of its newest good file: what the mart must hold in the end.
    """

    rng: random.Random
    rounds: list[list[tuple[str, bytes]]] = field(default_factory=list)
    readings: dict[str, int] = field(default_factory=dict)

    def next_round(self) -> list[tuple[str, bytes]]:
        """Make the files of one round: always one new, often a replaced one, sometimes a broken one."""
        number = len(self.rounds)
        files = {f"B{number:04}.parquet": self._content(f"B{number:04}")}
        if number and self.rng.random() < 0.5:
            earlier = f"B{self.rng.randrange(number):04}"
            files[f"{earlier}.parquet"] = self._content(earlier)
        if self.rng.random() < 0.15:
            whole = self._content(f"X{number:04}")
            del self.readings[f"X{number:04}"]
            files[f"X{number:04}.parquet"] = whole[: len(whole) // 2]
        self.rounds.append(sorted(files.items()))
        return self.rounds[-1]

    def _content(self, batch: str) -> bytes:
        rows = self.rng.randrange(60, 240)
        began = datetime(2026, 1, 1) + timedelta(minutes=self.rng.randrange(100_000))
        self.readings[batch] = rows
        names = [list(PARAMETERS)[row % 3] for row in range(rows)]
        table = pa.table(
            {
                "timestamp": pa.array([began + timedelta(seconds=10 * row) for row in range(rows)], pa.timestamp("us")),
                "batch_id": [batch] * rows,
                "equipment_id": [f"BR-{self.rng.randrange(1, 4):02}"] * rows,
                "parameter": names,
                "value": [PARAMETERS[name][0] + self.rng.gauss(0, 0.2) for name in names],
                "unit": [PARAMETERS[name][1] for name in names],
            }
        )
        stream = io.BytesIO()
        pq.write_table(table, stream)
        return stream.getvalue()


def drop(endpoint: str, prefix: str, files: list[tuple[str, bytes]]) -> None:
    """Put files into the drop zone of the lake ``s3://<bucket>/<prefix>``, as an instrument's uploader would."""
    store = client(endpoint)
    for name, content in files:
        store.put_object(Bucket=BUCKET, Key=f"{prefix}/{FOLDER}/{name}", Body=content)
