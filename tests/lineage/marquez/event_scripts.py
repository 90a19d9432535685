"""Seeded scripts of OpenLineage events, well-behaved and not, for what two readers must make the same of.

What belongs here: making events that stay within what Marquez stores whole. What does not: events that it refuses or
breaks on (those never leave the outbox).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid5

from lineage.facet_values import DAGSTER, PLATFORM

Body = dict[str, Any]
PRODUCER = "https://lakehouse.example/lineage/1"
SPEC = "https://openlineage.io/spec"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
COLUMNS = ("id", "value", "note")
TYPES = ("INTEGER", "VARCHAR")


class Script:
    """Events about one chain of assets below one parent.

    Args:
        name: makes every job namespace, dataset and run id of this script another one's.
        seed: of what happens.
        unruly: also events that a tidy sender does not make: ends without a start, runs that re-open, late arrivals,
            inputs with a schema, mentions without a description.
    """

    def __init__(self, name: str, seed: int, *, unruly: bool) -> None:
        self.random = Random(f"{seed}")
        self.name = name
        self.unruly = unruly
        self.namespace = name
        self.clock = 0
        self.runs = 0
        self.ended: list[list[Body]] = []
        self.ran: set[str] = set()

    def events(self, rounds: int) -> list[Body]:
        """All events in the order in which they are sent."""
        found: list[Body] = []
        for _ in range(rounds):
            found += self._round()
        return found

    def _round(self) -> list[Body]:
        kind = self.random.choices(
            ("run", "job", "dataset", "drop", "emptied", "checked", "replay"),
            weights=(12, 2, 2, 1, 1, 3, 2 if self.ended else 0),
        )[0]
        step = self.random.randrange(1, 5)
        if kind == "run":
            return self._run()
        if kind == "replay":
            return self.random.choice(self.ended)
        if kind == "job":
            # On a job that has run, one makes the server show facets of any of its runs.
            job = self.random.choice((f"lakehouse.step{step}", f"exposure.e{step}"))
            return [self._job_event(job if job not in self.ran else f"exposure.e{step}", step)]
        if kind == "checked":
            return self._checked(step)
        if kind == "emptied":
            return self._attempt(f"lakehouse.step{step}", [], [], self._parent())
        return [self._dataset_event(step, drop=kind == "drop")]

    def _run(self) -> list[Body]:
        """A parent run with some of the steps in it."""
        parent = self._parent()
        run_id = parent["parent"]["run"]["runId"]
        found = []
        facets = self._job("lakehouse")["facets"]
        if not self._rarely():
            found.append(self._run_event("START", run_id, "lakehouse", [], [], {}, facets))
        for step in sorted(self.random.sample(range(1, 5), self.random.randrange(1, 5))):
            found += self._attempt(f"lakehouse.step{step}", self._inputs(step), self._outputs(step), parent)
        found.append(self._run_event(self._end(), run_id, "lakehouse", [], [], {}, facets))
        self.ended.append(found)
        return found

    def _attempt(self, job: str, inputs: list[Body], outputs: list[Body], parent: Body) -> list[Body]:
        self.ran.add(job)
        run_id = self._run_id()
        end = self._end()
        message = f"broke {run_id[:4]}"
        error = {"errorMessage": _facet("ErrorMessageRunFacet", message=message, programmingLanguage="SQL")}
        facets = self._job(job)["facets"]
        events = [self._run_event("START", run_id, job, inputs, outputs, parent, facets)]
        last = error if end != "COMPLETE" else {}
        events.append(self._run_event(end, run_id, job, inputs, outputs, last, facets))
        if self._rarely():
            events.pop(0)
        if self._rarely():
            events.append(self._run_event("RUNNING", run_id, job, inputs, outputs, parent, facets))
        if self._rarely():
            events.reverse()
        return events

    def _checked(self, step: int) -> list[Body]:
        """Checks that ran alone: a mention with their verdicts, then a run that takes its edge away again."""
        job = f"lakehouse.checks.step{step}"
        mention = self._event("JobEvent", [self._dataset(step, self._checks())], []) | {"job": self._job(job)}
        return [mention, *self._attempt(job, [], [], self._parent())]

    def _inputs(self, step: int) -> list[Body]:
        found = [self._dataset(step - 1)]
        if step == 1 and self.random.random() < 0.3:
            found.append(self._dataset(9))
        if self._rarely():
            found[0]["facets"] |= self._schema()
        return found

    def _outputs(self, step: int) -> list[Body]:
        schema = self._schema()
        names = [each["name"] for each in schema["schema"]["fields"]]
        source = self._dataset(step - 1)
        told = {
            name: {
                "inputFields": [
                    {"namespace": source["namespace"], "name": source["name"], "field": self.random.choice(COLUMNS)}
                ]
            }
            for name in (names if not self._rarely() else COLUMNS)
        }
        facets = schema | {"columnLineage": _facet("ColumnLineageDatasetFacet", fields=told)} | self._checks()
        rows = _facet("OutputStatisticsOutputDatasetFacet", rowCount=self.random.randrange(99), size=self.clock)
        found = [self._dataset(step, facets) | {"outputFacets": {"outputStatistics": rows}}]
        if step == 1:
            found.append(self._dataset(8, self._schema()))
        return found

    def _checks(self) -> Body:
        if self.random.random() < 0.3:
            return {}
        told = [
            {"assertion": name, "success": self.random.random() < 0.7, "column": "id"}
            for name in ("not_null", "unique")
        ]
        return {"dataQualityAssertions": _facet("DataQualityAssertionsDatasetFacet", assertions=told)}

    def _schema(self) -> Body:
        names = COLUMNS if self.random.random() < 0.7 else COLUMNS[:2]
        changed = self.random.random() < 0.2
        described = self.random.choice(("", "as declared"))
        columns = [
            {"name": name, "type": TYPES[index % 2 ^ (changed and index == 1)], "description": described}
            for index, name in enumerate(names)
        ]
        return {"schema": _facet("SchemaDatasetFacet", fields=columns)}

    def _dataset(self, number: int, facets: Body | None = None) -> Body:
        common = {
            "dataSource": _facet("DatasourceDatasetFacet", name=f"duckdb://{self.name}", uri=f"duckdb:/{self.name}"),
            "documentation": _facet("DocumentationDatasetFacet", description=f"dataset {number}"),
            "ownership": _facet("OwnershipDatasetFacet", owners=[{"name": "team:data", "type": "team"}]),
            PLATFORM: _facet("LakehouseDatasetFacet", layer=f"layer{number}", domain="d", kind="table"),
        }
        if self._rarely():
            del common["documentation"]
        return {"namespace": f"duckdb://{self.name}", "name": f"lake.main.t{number}", "facets": common | (facets or {})}

    def _parent(self) -> Body:
        run = {"runId": self._run_id()}
        return {"parent": _facet("ParentRunFacet", run=run, job={"namespace": self.namespace, "name": "lakehouse"})}

    def _run_event(
        self,
        kind: str,
        run_id: str,
        job: str,
        inputs: list[Body],
        outputs: list[Body],
        facets: Body,
        job_facets: Body,
    ) -> Body:
        dagster = {DAGSTER: _facet("LakehouseDagsterRunFacet", run_id=run_id, url=f"http://localhost/{run_id}")}
        return self._event("RunEvent", inputs, outputs) | {
            "eventType": kind,
            "run": {"runId": run_id, "facets": dagster | facets},
            "job": {"namespace": self.namespace, "name": job, "facets": job_facets},
        }

    def _job_event(self, job: str, step: int) -> Body:
        inputs = [self._dataset(step)] if job.startswith("exposure") else self._inputs(step)
        outputs = [self._dataset(20 + step)] if job.startswith("exposure") else self._outputs(step)
        owner = {"ownership": _facet("OwnershipJobFacet", owners=[{"name": "team:data"}])}
        facets = self._job(job)["facets"] | owner | {"sql": _facet("SQLJobFacet", query="select 1")}
        job_body = {"namespace": self.namespace, "name": job, "facets": facets}
        return self._event("JobEvent", inputs, outputs) | {"job": job_body}

    def _dataset_event(self, step: int, *, drop: bool) -> Body:
        gone = {"lifecycleStateChange": _facet("LifecycleStateChangeDatasetFacet", lifecycleStateChange="DROP")}
        facets = (gone if drop else {}) | (self._schema() if self.random.random() < 0.7 else {})
        body = self._event("DatasetEvent", [], []) | {"dataset": self._dataset(step, facets)}
        return {key: value for key, value in body.items() if key not in ("inputs", "outputs")}

    def _event(self, kind: str, inputs: list[Body], outputs: list[Body]) -> Body:
        self.clock += self.random.randrange(1, 20)
        back = self.random.randrange(600) if self._rarely() else 0
        at = START + timedelta(seconds=self.clock - back, milliseconds=self.random.randrange(1000))
        return {
            "eventTime": at.isoformat().replace("+00:00", "Z"),
            "producer": PRODUCER,
            "schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/{kind}",
            "inputs": inputs,
            "outputs": outputs,
        }

    def _job(self, name: str) -> Body:
        facets = {
            "jobType": _facet("JobTypeJobFacet", processingType="BATCH", integration="DAGSTER", jobType="ASSET"),
            "ownership": _facet("OwnershipJobFacet", owners=[{"name": f"team:{self.random.randrange(3)}"}]),
            "sql": _facet("SQLJobFacet", query=f"select {self.random.randrange(3)}"),
        }
        if not self._rarely():
            facets["documentation"] = _facet("DocumentationJobFacet", description=f"job {self.random.randrange(3)}")
        return {"namespace": self.namespace, "name": name, "facets": facets}

    def _end(self) -> str:
        return self.random.choices(("COMPLETE", "FAIL", "ABORT"), weights=(6, 2, 1))[0]

    def _rarely(self) -> bool:
        return self.unruly and self.random.random() < 0.1

    def _run_id(self) -> str:
        self.runs += 1
        return str(uuid5(UUID(int=5), f"{self.name}/{self.runs}"))


def _facet(facet: str, **content: Any) -> Body:
    return {"_producer": PRODUCER, "_schemaURL": f"{SPEC}/facets/1-0-0/{facet}.json#/$defs/{facet}"} | content
