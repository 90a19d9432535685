"""OpenLineage's JSON Schemas, all registered by ``$id``: nothing needs the network.

They are no part of the checkout: LAKEHOUSE_TEST_OPENLINEAGE_SCHEMAS names the folder. Continuous integration sets it
and fails without; elsewhere the tests that need it are skipped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

VARIABLE = "LAKEHOUSE_TEST_OPENLINEAGE_SCHEMAS"
OURS = Path(__file__).parents[3] / "lineage" / "facets" / "schemas"
CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
KINDS = {"run": "RunEvent", "job": "JobEvent", "dataset": "DatasetEvent"}
NAMED_OTHERWISE = {
    # openlineage-python 1.54 knows one optional field more than the published schema, and says so in its version.
    "https://openlineage.io/spec/facets/1-0-1/DataQualityMetricsDatasetFacet.json": (
        "https://openlineage.io/spec/facets/1-0-0/DataQualityMetricsDatasetFacet.json"
    )
}


class Schemas:
    """Validates events.

    Args:
        folder: holds OpenLineage.json and facets/*.json.
    """

    def __init__(self, folder: Path) -> None:
        files = [folder / "OpenLineage.json", *sorted((folder / "facets").glob("*.json")), *sorted(OURS.glob("*.json"))]
        self._schemas = {schema["$id"]: schema for schema in (json.loads(path.read_text("utf-8")) for path in files)}
        self._registry = Registry().with_resources(
            (name, Resource.from_contents(schema)) for name, schema in self._schemas.items()
        )
        self._validators: dict[str, jsonschema.Draft202012Validator] = {}

    def check(self, body: dict[str, Any], kind: str) -> set[str]:
        """Assert that an event and each of its facets is valid; return the names of the facets."""
        self._validate(body, f"{CORE}#/$defs/{KINDS[kind]}")
        assert body["schemaURL"] == f"{CORE}#/$defs/{KINDS[kind]}"
        seen: set[str] = set()
        for holder in _holders(body):
            for name, facet in holder.items():
                self._validate(facet, facet["_schemaURL"])
                if not facet["_schemaURL"].startswith("https://lakehouse.example/"):
                    # The file also says under which name the facet must stand.
                    assert list(self._schema(facet["_schemaURL"])["properties"]) == [name]
                seen.add(name)
        return seen

    def _validate(self, value: Any, reference: str) -> None:
        if reference not in self._validators:
            name, _, part = reference.partition("#")
            target = f"{NAMED_OTHERWISE.get(name, name)}#{part}"
            self._validators[reference] = jsonschema.Draft202012Validator(
                {"$ref": target}, registry=self._registry, format_checker=jsonschema.FormatChecker()
            )
        self._validators[reference].validate(value)

    def _schema(self, reference: str) -> dict[str, Any]:
        name = reference.partition("#")[0]
        return self._schemas[NAMED_OTHERWISE.get(name, name)]


def _holders(body: dict[str, Any]) -> list[dict[str, Any]]:
    datasets = [*body.get("inputs", []), *body.get("outputs", []), *([body["dataset"]] if "dataset" in body else [])]
    holders = [body.get("run", {}).get("facets"), body.get("job", {}).get("facets")]
    holders += [item.get(key) for item in datasets for key in ("facets", "inputFacets", "outputFacets")]
    return [holder for holder in holders if holder]


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder with OpenLineage's JSON Schemas, which are no part of the checkout")
    assert (Path(folder) / "OpenLineage.json").is_file(), f"{VARIABLE} is {folder}, which holds no OpenLineage.json"
    return Schemas(Path(folder))
