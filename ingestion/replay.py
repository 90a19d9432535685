"""Quarantined files go back to the drop zone and are validated again: after a fix of the rules or of the declaration.

What belongs here: finding the file's old place and moving it there. What does not: mending files.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from ingestion import quarantine
from ingestion.declarations import DropZoneSource, load
from ingestion.ingest import ingest
from ingestion.outcome import Progress
from ingestion.report import IngestReport
from lakehouse.errors import ConfigError
from lakehouse.settings import Settings
from lakehouse.storage import Lake, open_lake


def quarantined(lake: Lake, source: DropZoneSource) -> list[str]:
    """Keys of all files that lie in the quarantine of a source and can be replayed."""
    keys = {item.key for item in lake.walk(source.quarantine_folder)}
    return sorted(key for key in keys if key + quarantine.REASON in keys)


def replay(
    settings: Settings,
    source: str | DropZoneSource,
    *file_keys: str,
    run_id: str | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Validate files again.

    Args:
        settings: the platform's settings; the state database must be running.
        source: a declared source, by name or loaded.
        file_keys: keys in the quarantine (they go back to the drop zone first) or in the drop zone (validated again
            where they are). None at all: everything that lies in the source's quarantine.
        run_id: recorded in the ledger.
        progress: called with one line per step.

    Raises:
        ConfigError: names every key that is not there, and every place in the drop zone that is taken by another file.
        UnavailableError: the lake or the state database cannot be reached.
    """
    declared = load(source) if isinstance(source, str) else source
    lake = open_lake(settings)
    lake.check()
    wanted = list(dict.fromkeys(file_keys)) or quarantined(lake, declared)
    back, faults = _plan(lake, declared, wanted)
    if faults:
        raise ConfigError(
            f"Nothing was replayed, {len(faults)} of {len(wanted)} files cannot be:\n  - " + "\n  - ".join(faults),
            remedy=f"Keys are paths in the lake such as {declared.quarantine_folder}/2026-01-31/B001.parquet.",
        )
    for key, target in back.items():
        if key != target:
            lake.move(key, target)
            _note(lake, key)
            if progress:
                progress(f"{key} is back at {target}")
    return ingest(settings, declared, files=list(back.values()), run_id=run_id, progress=progress)


def _plan(lake: Lake, source: DropZoneSource, wanted: list[str]) -> tuple[dict[str, str], list[str]]:
    back: dict[str, str] = {}
    faults = []
    for key in wanted:
        if not lake.exists(key):
            faults.append(f"{key}: there is no such file in the lake")
            continue
        if not key.startswith(f"{source.quarantine_folder}/"):
            back[key] = key
            continue
        try:
            target = str(quarantine.read_reason(lake, key)["file"])
        except (FileNotFoundError, ValueError, KeyError):
            faults.append(
                f"{key}: no {key}{quarantine.REASON} says where it came from; copy it to {source.path} yourself"
            )
            continue
        if target in back.values() or lake.exists(target):
            faults.append(f"{key}: its place {target} is taken by another file; move that one away first")
        back[key] = target
    return back, faults


def _note(lake: Lake, key: str) -> None:
    """The reason stays as history and says that the file went back."""
    reason = quarantine.read_reason(lake, key)
    reason["replayed_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    lake.write(key + quarantine.REASON, (json.dumps(reason, indent=2, ensure_ascii=False) + "\n").encode())
