"""What a lineage server can take: every event is brought to it, and checked against it, before it enters the outbox.

What belongs here: Marquez's limits as measured (docs/lineage/naming.md) and the specification's rules that a JSON
Schema does not say. What does not: making events.

Texts that only explain (descriptions, SQL, errors, types, further facts) are cleaned and cut, with a mark. Identities
(namespaces, names, columns, run ids) are never changed: another identity would be another node.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from lakehouse.errors import LakehouseError
from lineage.outgoing import Outgoing

NAMESPACE = re.compile(r"[a-zA-Z:;=/0-9_\-.@+]{1,1024}")
"""Of datasets and jobs. Another sign in a dataset's breaks Marquez's list of namespaces for good."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
MAX_NAME = 2_599
MAX_JOB = 2_000
MAX_FIELD = 255
MAX_URL = 255
MAX_TYPE = 2_500
MAX_TEXT = 100_000
"""Longest text that only explains, in bytes."""
MAX_EVENT = 20_000_000
ENDS = frozenset({"COMPLETE", "FAIL", "ABORT"})
MARK = " … (cut)"
RUN_TYPES = ENDS | {"START"}

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_EXPLAINS = frozenset({"facets", "inputFacets", "outputFacets"})


class EventError(LakehouseError):
    """Events that a lineage server would refuse or be damaged by; all faults are named."""


def checked(events: Iterable[Outgoing]) -> list[Outgoing]:
    """The events with their texts cleaned and cut.

    Raises:
        EventError: a fault that cutting a text does not mend; every fault of every event is named.
    """
    made: list[Outgoing] = []
    faults: dict[str, None] = {}
    parts = _Parts()
    jobs_of_runs: dict[str, str] = {}
    for event in events:
        body = parts.fitted(event.body)
        made.append(replace(event, body=body))
        for fault in [*_event_faults(body, event.kind, parts), *_run_faults(body, jobs_of_runs)]:
            faults[f"{event.job or event.kind}: {fault}"] = None
    if faults:
        raise EventError(
            "A lineage server cannot take these events:\n  - {}".format("\n  - ".join(faults)),
            remedy="Rename what is named here; docs/lineage/naming.md lists what names may hold.",
        )
    return made


def faults(body: Mapping[str, Any], kind: str = "run") -> list[str]:
    """Everything that is wrong with one event as it stands; empty: it can be sent.

    Args:
        body: the event.
        kind: ``run``, ``job`` or ``dataset``.
    """
    return [*_event_faults(body, kind, _Parts())]


class _Parts:
    """Fits and checks each part of an event once: START and end share their job, inputs and outputs."""

    def __init__(self) -> None:
        self._fitted: dict[int, tuple[Any, Any]] = {}
        self._faults: dict[int, tuple[Any, list[str]]] = {}

    def fitted(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of an event in which texts that explain are cleaned and cut."""
        return {key: self._part(key, value) for key, value in body.items()}

    def dataset_faults(self, dataset: Mapping[str, Any]) -> list[str]:
        """Faults of one dataset by itself."""
        known = self._faults.get(id(dataset))
        if known is None:
            known = self._faults[id(dataset)] = (dataset, [*_dataset_faults(dataset)])
        return known[1]

    def _part(self, key: str, value: Any) -> Any:
        if key in {"inputs", "outputs"}:
            return [self._once(item) for item in value]
        return self._once(value) if isinstance(value, dict) else value

    def _once(self, part: dict[str, Any]) -> dict[str, Any]:
        known = self._fitted.get(id(part))
        if known is None:  # the part itself is kept, so that its id stays its own
            made = {key: _fit_facets(value) if key in _EXPLAINS else value for key, value in part.items()}
            known = self._fitted[id(part)] = (part, made)
        return known[1]


def _fit_facets(facets: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, facet in facets.items():
        if name == "columnLineage":  # identities only
            made[name] = facet
        elif name == "schema":
            made[name] = {**facet, "fields": [_fit_field(field) for field in facet.get("fields", [])]}
        elif name == "sourceCodeLocation" and len(facet["url"].encode()) > MAX_URL:
            continue  # a link that is cut leads nowhere
        else:
            made[name] = plain(facet)
    return made


def _fit_field(field: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(field)
    if isinstance(made.get("type"), str):
        made["type"] = cut(made["type"], MAX_TYPE)
    if isinstance(made.get("description"), str):
        made["description"] = cut(made["description"], MAX_TEXT)
    return made


def cut(text: str, limit: int = MAX_TEXT) -> str:
    """A text that a database can store (no NUL, no half of a surrogate pair), of at most so many bytes in UTF-8."""
    if not text.isascii() or "\0" in text:
        text = _UNSTORABLE.sub("\ufffd", text)
        if len(text) * 4 <= limit or len(data := text.encode()) <= limit:
            return text
    elif len(text) <= limit:
        return text
    else:
        data = text.encode()
    return data[: limit - len(MARK.encode())].decode("utf-8", "ignore") + MARK


def plain(value: Any) -> Any:
    """Any value as JSON that a database can store; what JSON has no word for becomes text."""
    if isinstance(value, str):
        return cut(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {cut(str(key), MAX_FIELD): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return cut(str(value))


def _event_faults(body: Mapping[str, Any], kind: str, parts: _Parts) -> Iterable[str]:
    if not TIME.fullmatch(str(body.get("eventTime"))):
        yield f"its time {body.get('eventTime')!r} is not ISO 8601 with an offset"
    if kind == "run":
        if body.get("eventType") not in RUN_TYPES:
            yield f"its type {body.get('eventType')!r} is none of {', '.join(sorted(RUN_TYPES))}"
        yield from _run_id_faults(body.get("run", {}).get("runId"))
    if kind != "dataset":
        yield from _job_faults(body["job"])
    datasets = [body["dataset"]] if kind == "dataset" else [*body.get("inputs", ()), *body.get("outputs", ())]
    for dataset in datasets:
        yield from parts.dataset_faults(dataset)
    for side in ("inputs", "outputs"):
        names = [_identity(item) for item in body.get(side, ())]
        yield from (f"{item} stands twice among its {side}" for item in _twice(names))
    inputs = {_identity(item) for item in body.get("inputs", ())}
    for dataset in datasets:
        yield from _column_faults(dataset, inputs)
    if (size := len(json.dumps(body, ensure_ascii=False, default=str).encode("utf-8", "replace"))) > MAX_EVENT:
        yield f"it has {size:,} bytes, more than {MAX_EVENT:,}"


def _run_id_faults(run_id: Any) -> Iterable[str]:
    try:
        UUID(str(run_id))
    except ValueError:
        yield f"its run id {run_id!r} is no UUID"


def _run_faults(body: Mapping[str, Any], jobs_of_runs: dict[str, str]) -> Iterable[str]:
    if run_id := body.get("run", {}).get("runId"):
        name = body["job"]["name"]
        if jobs_of_runs.setdefault(run_id, name) != name:
            yield f"its run id {run_id} is that of {jobs_of_runs[run_id]} too"


def _job_faults(job: Mapping[str, Any]) -> Iterable[str]:
    if not NAMESPACE.fullmatch(job["namespace"]):
        yield f"the job namespace {job['namespace']!r} holds other signs than letters, digits and : ; = / _ - . @ +"
    yield from _name_faults("job", job["name"], MAX_JOB)
    yield from _facet_faults("job", job.get("facets") or {})


def _dataset_faults(dataset: Mapping[str, Any]) -> Iterable[str]:
    namespace, name = dataset["namespace"], dataset["name"]
    if not NAMESPACE.fullmatch(namespace):
        yield f"the namespace {namespace!r} of {name!r} holds other signs than letters, digits and : ; = / _ - . @ +"
    yield from _name_faults("dataset", name, MAX_NAME)
    if "#" in name:
        yield f"the dataset {name!r} holds a #, which ends column lineage"
    if ":" in namespace and name[:1].isdigit():
        yield f"the dataset {name!r} begins with a digit after the namespace {namespace!r}, which cannot be read back"
    for key in _EXPLAINS:
        yield from _facet_faults(f"dataset {name!r}", dataset.get(key) or {})
    fields = (dataset.get("facets") or {}).get("schema", {}).get("fields") or []
    for field in fields:
        yield from _name_faults(f"column of {name!r},", field["name"], MAX_FIELD)
        if not field.get("type"):
            yield f"the column {field['name']!r} of {name!r} has no type"
    names = [field["name"] for field in fields]
    yield from (f"the column {item!r} stands twice in {name!r}" for item in _twice(names))


def _column_faults(dataset: Mapping[str, Any], inputs: set[str]) -> Iterable[str]:
    facets = dataset.get("facets") or {}
    if not (lineage := facets.get("columnLineage")):
        return
    known = {field["name"] for field in facets.get("schema", {}).get("fields") or []}
    used = [*(lineage.get("dataset") or ())]
    for column, sources in lineage["fields"].items():
        if column not in known:
            yield f"column lineage of {dataset['name']!r} names {column!r}, which is not in its schema"
        used += sources["inputFields"]
    for identity in sorted({_identity(item) for item in used} - inputs):
        yield f"column lineage of {dataset['name']!r} names {identity}, which is not among its inputs"


def _facet_faults(what: str, facets: Mapping[str, Any]) -> Iterable[str]:
    for name, facet in facets.items():
        if len(name.encode()) > MAX_FIELD:
            yield f"a facet's name of the {what} is longer than {MAX_FIELD} bytes"
        if not facet.get("_producer") or not facet.get("_schemaURL"):
            yield f"the facet {name} of the {what} lacks _producer or _schemaURL"


def _name_faults(what: str, name: str, limit: int) -> Iterable[str]:
    if not name:
        yield f"the name of a {what} is empty"
    elif _UNSTORABLE.search(name):
        yield f"the name {name!r} of a {what} holds a sign that no database stores"
    elif len(name.encode()) > limit:
        yield f"the name {name[:60]!r}… of a {what} is longer than {limit:,} bytes"


def _twice(names: list[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _identity(dataset: Mapping[str, Any]) -> str:
    return f"{dataset['namespace']} {dataset['name']}"
