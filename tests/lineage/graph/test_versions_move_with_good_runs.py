"""Datasets of the reduced graph: versions, columns, checks, lifecycle, rule by rule (measured on a real Marquez)."""

from __future__ import annotations

from handmade import (
    BATCH,
    RAW,
    STAGING,
    checks,
    comes_from,
    dataset,
    dataset_event,
    event,
    graph,
    metadata,
    moment,
    pair,
    run_id,
)

from lineage.facts import Volume
from lineage.graph import Assertion, ColumnEdge, Graph
from lineage.names import Column, Dataset, Field


def columns(seen: Graph, of: Dataset) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in seen.datasets[of].columns]


def runs_of_versions(seen: Graph, of: Dataset) -> list[str | None]:
    return [version.run_id for version in seen.datasets[of].versions]


def test_a_good_run_makes_one_version_of_its_output() -> None:
    seen = graph(pair("COMPLETE", "stg", "r1", 0, [RAW], [dataset(STAGING, "batch_id:VARCHAR ph:DOUBLE")]))
    node = seen.datasets[STAGING]
    assert runs_of_versions(seen, STAGING) == [run_id("r1")]
    assert node.current is not None
    assert (node.current.run_id, node.current.created_at) == (run_id("r1"), moment(0))
    assert columns(seen, STAGING) == [("batch_id", "VARCHAR"), ("ph", "DOUBLE")]


def test_a_second_run_adds_a_version_and_no_node() -> None:
    output = dataset(STAGING, "ph:DOUBLE")
    first = pair("COMPLETE", "stg", "r1", 0, [RAW], [output])
    second = pair("COMPLETE", "stg", "r2", 10, [RAW], [output])
    once, twice = graph(first), graph(first, second)
    assert (set(once.jobs), set(once.datasets)) == (set(twice.jobs), set(twice.datasets))
    assert runs_of_versions(twice, STAGING) == [run_id("r2"), run_id("r1")]
    assert twice.datasets[STAGING].current == twice.datasets[STAGING].versions[0]


def test_start_and_end_that_declare_other_columns_make_two_versions() -> None:
    for other in (dataset(STAGING), dataset(STAGING, "ph:FLOAT")):
        start = event("START", "stg", "r1", 0, [RAW], [other])
        seen = graph(start, event("COMPLETE", "stg", "r1", 2, [RAW], [dataset(STAGING, "ph:DOUBLE")]))
        assert len(seen.datasets[STAGING].versions) == 2
        assert columns(seen, STAGING) == [("ph", "DOUBLE")]


def test_only_a_good_end_moves_the_current_version() -> None:
    first = pair("COMPLETE", "stg", "r1", 0, [RAW], [dataset(STAGING, "ph:DOUBLE")])
    for kind in ("FAIL", "ABORT"):
        seen = graph(first, pair(kind, "stg", "r2", 10, [RAW], [dataset(STAGING, "ph:DOUBLE titre:DOUBLE")]))
        node = seen.datasets[STAGING]
        assert node.current is not None
        assert node.current.run_id == run_id("r1")
        assert columns(seen, STAGING) == [("ph", "DOUBLE")]
        assert len(node.versions) == 2


def test_a_dataset_seen_only_in_a_failed_run_has_no_current_version_and_no_columns() -> None:
    seen = graph(
        pair("FAIL", "stg", "r1", 0, [RAW], [dataset(STAGING, "ph:DOUBLE", dataQualityAssertions=checks(a=True))])
    )
    node = seen.datasets[STAGING]
    assert (node.current, node.columns, node.assertions) == (None, (), ())
    assert len(node.versions) == 1


def test_a_dataset_that_is_only_read_gets_one_version_ever() -> None:
    seen = graph(
        pair("COMPLETE", "stg", "r1", 0, [RAW], [STAGING]),
        pair("COMPLETE", "stg", "r2", 10, [RAW], [STAGING]),
        pair("COMPLETE", "dim", "r3", 20, [RAW], [BATCH]),
    )
    assert runs_of_versions(seen, RAW) == [None]
    assert seen.datasets[RAW].current is not None


def test_a_dataset_event_moves_the_current_version_without_a_run() -> None:
    seen = graph(
        pair("COMPLETE", "stg", "r1", 0, [RAW], [dataset(STAGING, "ph:DOUBLE")]),
        dataset_event(dataset(STAGING, "ph:DOUBLE titre:DOUBLE"), 10),
    )
    assert seen.datasets[STAGING].current is not None
    assert seen.datasets[STAGING].current.run_id is None
    assert columns(seen, STAGING) == [("ph", "DOUBLE"), ("titre", "DOUBLE")]


def test_a_job_event_lists_a_version_of_its_output_and_moves_nothing() -> None:
    seen = graph(
        pair("COMPLETE", "stg", "r1", 0, [RAW], [dataset(STAGING, "ph:DOUBLE")]),
        metadata("stg", 10, [RAW], [dataset(STAGING, "ph:DOUBLE titre:DOUBLE")]),
    )
    assert runs_of_versions(seen, STAGING) == [None, run_id("r1")]
    assert columns(seen, STAGING) == [("ph", "DOUBLE")]


def test_an_input_declared_with_another_type_shows_the_column_twice() -> None:
    written = pair("COMPLETE", "raw", "r1", 0, [], [dataset(RAW, "ph:DOUBLE")])
    seen = graph(written, pair("COMPLETE", "stg", "r2", 5, [dataset(RAW, "ph:FLOAT")], [STAGING]))
    assert columns(seen, RAW) == [("ph", "DOUBLE"), ("ph", "FLOAT")]
    assert columns(graph(written, pair("COMPLETE", "stg", "r2", 5, [RAW], [STAGING])), RAW) == [("ph", "DOUBLE")]


PRODUCED = pair("COMPLETE", "raw", "r1", 0, [], [dataset(RAW, "value:DOUBLE")])
CONSUMED = dataset(STAGING, "ph:DOUBLE", columnLineage=comes_from(ph=Field(RAW, "value")))
EDGE = ColumnEdge(Field(RAW, "value"), Field(STAGING, "ph"))


def test_column_lineage_links_known_columns() -> None:
    assert graph(PRODUCED, pair("COMPLETE", "stg", "r2", 5, [RAW], [CONSUMED])).columns == {EDGE}


def test_a_consumer_that_comes_before_its_producer_leaves_no_column_edge_and_it_is_not_repaired() -> None:
    early = pair("COMPLETE", "stg", "r2", 5, [RAW], [CONSUMED])
    assert graph(early, PRODUCED).columns == frozenset()
    assert graph(early, PRODUCED, pair("COMPLETE", "stg", "r3", 9, [RAW], [CONSUMED])).columns == {EDGE}


def test_column_lineage_needs_the_output_in_the_schema_and_the_dataset_among_the_inputs() -> None:
    undeclared = dataset(STAGING, "other:DOUBLE", columnLineage=comes_from(ph=Field(RAW, "value")))
    assert graph(PRODUCED, pair("COMPLETE", "stg", "r2", 5, [RAW], [undeclared])).columns == frozenset()
    assert graph(PRODUCED, pair("COMPLETE", "stg", "r2", 5, [BATCH], [CONSUMED])).columns == frozenset()


def test_column_lineage_never_forgets() -> None:
    without = pair("COMPLETE", "stg", "r3", 9, [RAW], [dataset(STAGING, "titre:DOUBLE")])
    seen = graph(PRODUCED, pair("COMPLETE", "stg", "r2", 5, [RAW], [CONSUMED]), without)
    assert seen.columns == {EDGE}
    assert columns(seen, STAGING) == [("titre", "DOUBLE")]


def test_a_failed_run_gives_column_edges_too_and_metadata_does_not() -> None:
    assert graph(PRODUCED, pair("FAIL", "stg", "r2", 5, [RAW], [CONSUMED])).columns == {EDGE}
    assert graph(PRODUCED, metadata("stg", 5, [RAW], [CONSUMED])).columns == frozenset()
    assert graph(PRODUCED, dataset_event(CONSUMED, 5)).columns == frozenset()


def test_checks_belong_to_the_version_and_the_last_facet_replaces_the_one_before_whole() -> None:
    writer = dataset(BATCH, "id:INT", dataQualityAssertions=checks(unique=True, fresh=False))
    written = pair("COMPLETE", "dim", "r1", 0, [STAGING], [writer])
    assert graph(written).datasets[BATCH].assertions == (Assertion("unique", True), Assertion("fresh", False))
    checker = dataset(BATCH, dataQualityAssertions=checks(rows=True))
    checked = graph(written, pair("COMPLETE", "check", "r2", 5, [checker], []))
    assert checked.datasets[BATCH].assertions == (Assertion("rows", True),)


def test_checks_among_the_input_facets_replace_the_writers_too() -> None:
    written = pair(
        "COMPLETE", "dim", "r1", 0, [STAGING], [dataset(BATCH, "id:INT", dataQualityAssertions=checks(a=True))]
    )
    reader = dataset(BATCH, input={"dataQualityAssertions": checks(b=False)})
    assert graph(written, pair("COMPLETE", "mart", "r2", 5, [reader], [])).datasets[BATCH].assertions == (
        Assertion("b", False),
    )


def test_of_two_facets_the_later_event_time_wins_and_not_the_later_arrival() -> None:
    late = dataset(BATCH, dataQualityAssertions=checks(late=True))
    early = dataset(BATCH, dataQualityAssertions=checks(early=True))
    written = pair("COMPLETE", "dim", "r1", 0, [STAGING], [BATCH])
    seen = graph(written, event("COMPLETE", "c", "r2", 9, [late], []), event("COMPLETE", "c", "r3", 5, [early], []))
    assert seen.datasets[BATCH].assertions == (Assertion("late", True),)


def test_a_new_version_without_checks_shows_none() -> None:
    seen = graph(
        pair("COMPLETE", "dim", "r1", 0, [STAGING], [dataset(BATCH, "id:INT", dataQualityAssertions=checks(a=True))]),
        pair("COMPLETE", "dim", "r2", 9, [STAGING], [dataset(BATCH, "id:INT")]),
    )
    assert seen.datasets[BATCH].assertions == ()


def test_a_check_tells_its_column_and_severity_where_the_event_says_so() -> None:
    told = {"assertions": [{"assertion": "not_null", "success": False, "column": "ph", "severity": "warn"}]}
    seen = graph(pair("COMPLETE", "stg", "r1", 0, [RAW], [dataset(STAGING, "ph:DOUBLE", dataQualityAssertions=told)]))
    assert seen.datasets[STAGING].assertions == (Assertion("not_null", False, "ph", "warn"),)


def test_a_drop_marks_the_dataset_and_leaves_it_in_the_graph() -> None:
    written = pair("COMPLETE", "dim", "r1", 0, [STAGING], [dataset(BATCH, "id:INT")])
    dropped = graph(written, dataset_event(dataset(BATCH, lifecycleStateChange={"lifecycleStateChange": "DROP"}), 9))
    assert dropped.datasets[BATCH].deleted
    assert dropped.writes == graph(written).writes
    again = graph(
        written, dataset_event(dataset(BATCH, lifecycleStateChange={"lifecycleStateChange": "DROP"}), 9), written
    )
    assert not again.datasets[BATCH].deleted


def test_every_mention_overwrites_the_description_an_inputs_too() -> None:
    told = dataset(BATCH, "id:INT", documentation={"description": "One row per batch"})
    written = pair("COMPLETE", "dim", "r1", 0, [STAGING], [told])
    assert graph(written).datasets[BATCH].description == "One row per batch"
    assert graph(written, pair("COMPLETE", "mart", "r2", 5, [BATCH], [])).datasets[BATCH].description == ""


def test_a_run_tells_how_much_it_wrote_and_the_dataset_shows_the_last_good_one() -> None:
    def counted(rows: int) -> dict[str, object]:
        return dataset(BATCH, "id:INT", output={"outputStatistics": {"rowCount": rows, "size": 4096, "fileCount": 1}})

    good = pair("COMPLETE", "dim", "r1", 0, [STAGING], [counted(24)])
    seen = graph(good, pair("FAIL", "dim", "r2", 9, [STAGING], [counted(0)]))
    assert seen.datasets[BATCH].volume == Volume(rows=24, bytes=4096, files=1)


def test_a_column_is_joined_to_those_of_the_next_layers() -> None:
    seen = graph(
        PRODUCED,
        pair("COMPLETE", "stg", "r2", 5, [RAW], [CONSUMED]),
        pair(
            "COMPLETE",
            "dim",
            "r3",
            9,
            [STAGING],
            [dataset(BATCH, "avg_ph:DOUBLE", columnLineage=comes_from(avg_ph=Field(STAGING, "ph")))],
        ),
    )
    raw, staged, batch = Field(RAW, "value"), Field(STAGING, "ph"), Field(BATCH, "avg_ph")
    assert [seen.column_sources(each) for each in (raw, staged, batch)] == [(), (raw,), (staged,)]
    assert [seen.column_targets(each) for each in (raw, staged, batch)] == [(staged,), (batch,), ()]
    assert seen.datasets[STAGING].columns == (Column("ph", "DOUBLE"),)
    assert (seen.upstream(BATCH), seen.downstream(RAW)) == ((STAGING,), (STAGING,))
