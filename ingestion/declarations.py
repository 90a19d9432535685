"""What a source is: the model of ``ingestion/sources/*.yml``, strict, with every fault reported at once.

What belongs here: the fields, their meaning, and rules between them. What does not: acting on them. Everything else
(asset, checks, sensor, dbt source, row rules in staging) is derived from a declaration, so a fact stands in one place.
Only ``kind: drop_zone`` exists; another kind is another model in :data:`KINDS`.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ingestion import yaml_lines
from ingestion.yaml_lines import Document, Fault, Location
from lakehouse.errors import ConfigError

SOURCES = Path(__file__).parent / "sources"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
Text = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """No unknown fields, no silent conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Column(Strict):
    """One column of the source.

    Attributes:
        name: lower case, as dbt reads it; files may spell it in any case.
        type: the DuckDB type that staging casts to.
        required: a file without the column is quarantined.
        description: for people; becomes the column's documentation in dbt.
        accepts: physical types a file may use; empty: exactly ``type``. ``DECIMAL`` stands for any precision.
    """

    name: Name
    type: Text
    required: bool = True
    description: Text
    accepts: tuple[Text, ...] = Field((), strict=False)

    @property
    def physical_types(self) -> tuple[str, ...]:
        """Every type a file may use."""
        return tuple(dict.fromkeys((self.type, *self.accepts)))

    def takes(self, physical: str) -> bool:
        """Whether a file's type is accepted; an all-null column without a type is, unless it is required."""
        base = physical.partition("(")[0]
        return (
            physical in self.physical_types
            or base in self.physical_types
            or (physical == '"NULL"' and not self.required)
        )


class RowRule(Strict):
    """A condition that every row must meet.

    Attributes:
        name: as it appears in reasons and counts.
        expression: DuckDB SQL over the declared columns, cast to their declared types; true for a good row. NULL
            counts as broken.
        action: whether one broken row condemns its file, or only itself.
        description: for people.
    """

    name: Name
    expression: Text
    action: Literal["quarantine_file", "quarantine_rows"]
    description: Text


class Thresholds(Strict):
    """Where bad data stops being an incident of one file.

    Attributes:
        max_quarantined_fraction: of the files looked at in one run; above it the run fails.
        judged_from_files: the fraction is judged in runs that looked at this many files or more, so that one broken
            file arriving alone (100 %) does not stop the good ones.
        max_rejected_row_fraction: of the rows of one file; above it the whole file is quarantined.
        min_rows: the source must hold this many accepted rows in all.
    """

    max_quarantined_fraction: Fraction
    judged_from_files: int = Field(1, ge=1)
    max_rejected_row_fraction: Fraction
    min_rows: int = Field(1, ge=0)


class Freshness(Strict):
    """How old the newest data may be.

    Attributes:
        column: what is measured, a column of the curated layer (``batch_start``).
        max_age_hours: hours before now.
    """

    column: Name
    max_age_hours: float = Field(gt=0, strict=False)


class Parameter(Strict):
    """A measured quantity and its plausible values; a value outside is counted and shown, never dropped.

    Attributes:
        name: as in the data, lower case (case and surrounding spaces of the data do not matter).
        unit: as in the data.
        min, max: plausible single values.
        expected_avg_min, expected_avg_max: plausible averages of a batch.
        description: for people.
    """

    name: Name
    unit: Text
    min: float = Field(strict=False)
    max: float = Field(strict=False)
    expected_avg_min: float = Field(strict=False)
    expected_avg_max: float = Field(strict=False)
    description: Text


class Measurements(Strict):
    """Which columns of a long-format source hold parameter, value and unit."""

    parameter_column: Name
    value_column: Name
    unit_column: Name | None = None


class DropZoneSource(Strict):
    """A folder of the lake where others put finished Parquet files."""

    kind: Literal["drop_zone"]
    source: Name
    domain: Name
    asset: Name
    description: Text
    owner: Text
    stream: Name
    path: Text
    pattern: Text = "*.parquet"
    settle_seconds: float = Field(ge=0, le=3600, strict=False)
    columns: tuple[Column, ...] = Field(min_length=1, strict=False)
    extra_columns: Literal["evolve", "freeze", "discard"]
    key: tuple[Name, ...] = Field(min_length=1, strict=False)
    time_column: Name
    batch_column: Name
    equipment_column: Name | None = None
    measurements: Measurements | None = None
    row_rules: tuple[RowRule, ...] = Field((), strict=False)
    thresholds: Thresholds
    freshness: Freshness | None = None
    parameters: tuple[Parameter, ...] = Field((), strict=False)

    @field_validator("path")
    @classmethod
    def _inside_raw(cls, value: str) -> str:
        parts = PurePosixPath(value).parts
        if value != str(PurePosixPath(value)) or parts[:1] != ("raw",) or len(parts) < 2 or ".." in parts:
            raise ValueError("must be a folder below raw/, without a slash at the end, e.g. raw/bioreactor")
        if parts[1].startswith(("_", ".")):
            raise ValueError(f"raw/{parts[1]} is kept for the platform itself; choose another folder")
        return value

    @property
    def file(self) -> str:
        """Where this declaration stands, as written in messages."""
        return f"ingestion/sources/{self.source}.yml"

    @property
    def quarantine_folder(self) -> str:
        """Where its broken files go."""
        return f"raw/_quarantine/{self.source}"

    @property
    def ledger_export(self) -> str:
        """The Parquet file that tells dbt which files to read."""
        return f"raw/_ledger/{self.source}.parquet"

    @property
    def journal_folder(self) -> str:
        """Where the ledger's durable copy lies."""
        return f"raw/_ledger/{self.source}"

    @property
    def kept_folder(self) -> str:
        """Where the content of its accepted files is kept."""
        return f"raw/_kept/{self.source}"


KINDS: dict[str, type[DropZoneSource]] = {"drop_zone": DropZoneSource}
"""A declaration's ``kind`` chooses its model."""


def load(name: str, folder: Path = SOURCES) -> DropZoneSource:
    """One declaration by the source's name.

    Raises:
        ConfigError: there is none of this name, or it has faults (all of them are named).
    """
    path = folder / f"{name}.yml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yml"))) or "none"
        raise ConfigError(
            f"There is no source {name!r}; declared are: {known}.",
            remedy=f"Check the spelling, or declare it in ingestion/sources/{name}.yml (copy bioreactor.yml).",
        )
    return _load([path])[name]


def load_all(folder: Path = SOURCES) -> dict[str, DropZoneSource]:
    """Every declaration by source name, sorted.

    Raises:
        ConfigError: one error naming every fault of every file.
    """
    return _load(sorted(folder.glob("*.yml")))


def _load(paths: list[Path]) -> dict[str, DropZoneSource]:
    sources: dict[str, DropZoneSource] = {}
    faults: list[str] = []
    taken: dict[tuple[str, str], str] = {}
    for path in paths:
        document = yaml_lines.read(path)
        source, found = parse(document, path.stem)
        if source is not None:
            for field in ("asset", "path"):
                value = getattr(source, field)
                if other := taken.get((field, value)):
                    found.append(document.fault((field,), f"{value} is already taken by {other}"))
                taken[field, value] = path.name
            sources[path.stem] = source
        ordered = sorted(found, key=lambda fault: (fault.line, fault.field))
        faults += [f"{path.name}:{fault.line}: {fault.field} {fault.text}".replace(":  ", ": ") for fault in ordered]
    if faults:
        raise ConfigError(
            "The declarations of sources have {} fault{}:\n  - {}".format(
                len(faults), "s" if len(faults) > 1 else "", "\n  - ".join(faults)
            ),
            remedy="Mend them in ingestion/sources/; bioreactor.yml explains every field.",
        )
    return sources


def parse(document: Document, stem: str) -> tuple[DropZoneSource | None, list[Fault]]:
    """Turn a parsed file into a declaration, or into all its faults.

    Args:
        document: what :func:`ingestion.yaml_lines.read` gave.
        stem: the file's name without ending; the source must be called the same.
    """
    faults = list(document.faults)
    data = document.data
    if not isinstance(data, dict):
        if not faults:
            faults.append(document.fault((), "is empty or not a mapping of fields"))
        return None, faults
    kind = data.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        faults.append(document.fault(("kind",), f"must be one of {', '.join(KINDS)}, not {kind!r}"))
        return None, faults
    if data.get("source") != stem:
        faults.append(document.fault(("source",), f"must be {stem!r}, like the file's name"))
    source = None
    try:
        source = model.model_validate(data)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            text = {"missing": "is missing", "extra_forbidden": "is not a field of a declaration"}.get(
                found["type"], found["msg"].removeprefix("Value error, ")
            )
            faults.append(document.fault(found["loc"], text))
    faults += [document.fault(location, text) for location, text in _between_fields(data)]
    return (None if faults else source), faults


def _between_fields(data: dict[object, object]) -> list[tuple[Location, str]]:
    """Rules that concern two fields, on unchecked data, so that they are reported along with all other faults."""
    found: list[tuple[Location, str]] = []
    columns = _names(data, "columns")
    for section in ("columns", "row_rules", "parameters"):
        seen: set[str] = set()
        for index, name in enumerate(_names(data, section)):
            if name is not None and name in seen:
                found.append(((section, index, "name"), f"{name} stands here a second time"))
            seen.add(name or "")
    uses: list[tuple[Location, object]] = [
        ((f,), data.get(f)) for f in ("time_column", "batch_column", "equipment_column")
    ]
    measured = data.get("measurements")
    if isinstance(measured, dict):
        uses += [(("measurements", str(field)), value) for field, value in measured.items()]
    elif data.get("parameters"):
        found.append((("parameters",), "need measurements: which columns hold parameter and value"))
    key = data.get("key")
    if isinstance(key, list):
        uses += [(("key", index), value) for index, value in enumerate(key)]
    found += [
        (location, f"{value} is not one of the columns")
        for location, value in uses
        if isinstance(value, str) and value not in columns
    ]
    parameters = data.get("parameters")
    for index, parameter in enumerate(parameters if isinstance(parameters, list) else []):
        for low, high in (("min", "max"), ("expected_avg_min", "expected_avg_max")):
            pair = (parameter.get(low), parameter.get(high)) if isinstance(parameter, dict) else (None, None)
            if all(isinstance(value, int | float) for value in pair) and pair[0] > pair[1]:  # type: ignore[operator]  # checked
                found.append((("parameters", index, low), f"{pair[0]} is greater than {high} {pair[1]}"))
    return found


def _names(data: dict[object, object], section: str) -> list[str | None]:
    items = data.get(section)
    if not isinstance(items, list):
        return []
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    return [name if isinstance(name, str) else None for name in names]
