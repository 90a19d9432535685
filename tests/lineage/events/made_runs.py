"""Facts of runs for tests: everything said, nothing said, and anything at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from lineage.catalog import Catalog
from lineage.facts import AssetRun, Check, RunFacts, Volume
from lineage.names import Column

RUN = "11111111-2222-4333-8444-555555555555"
BEGAN = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
CHECKS = (
    Check("unique_key", True, "error"),
    Check("value_in_range", False, "warn", column="avg_value", message="3 of 18 rows"),
)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def full(catalog: Catalog, **more: Any) -> RunFacts:
    """Every asset built, everything known of it."""
    assets = [job for job in catalog.jobs.values() if job.asset_key]
    runs = tuple(
        AssetRun(
            asset_key=job.name,
            step_key=f"step_{job.layer}",
            attempt=0,
            end="COMPLETE",
            started_at=at(10 * place),
            ended_at=at(10 * place + 8),
            output=Volume(100 + place, 2_000 + place, 3),
            inputs={**{other.name: Volume(7, 77, 1) for other in assets}, job.name: Volume(99, 999, 9)},
            checks=CHECKS,
            sql=f"select {place}" if job.language == "SQL" else None,
            facts={"full_refresh": False, "column_metrics": {"batch_id": {"nullCount": 0, "distinctCount": 3}}},
        )
        for place, job in enumerate(assets, 1)
    )
    facts = RunFacts(
        run_id=RUN,
        job="nightly_pipeline",
        started_by="schedule",
        end="COMPLETE",
        started_at=at(0),
        ended_at=at(100),
        assets=runs,
        nominal_start=at(0),
        nominal_end=at(86_400),
        url=f"http://127.0.0.1:3000/runs/{RUN}",
        tags={"lakehouse/started_by": "schedule"},
    )
    return replace(facts, **more)


def bare(catalog: Catalog) -> RunFacts:
    """Every asset built, nothing known but that."""
    runs = tuple(
        AssetRun(job.name, "step", 0, "COMPLETE", at(1), at(2)) for job in catalog.jobs.values() if job.asset_key
    )
    return RunFacts(RUN, "job", "page", "COMPLETE", at(0), at(3), runs)


def changed(facts: RunFacts, asset_key: str, /, **more: Any) -> RunFacts:
    """The same run in which one asset came out otherwise."""
    assets = tuple(replace(item, **more) if item.asset_key == asset_key else item for item in facts.assets)
    return replace(facts, assets=assets)


WILD = ["\0", "a\0b", "\ud800", "ü" * 70_000, "🧬" * 30_000, "' -- \\", "\x7f\x1b[0m", "x" * 200_000, "#", "\r\n\t", ""]
texts = st.one_of(st.sampled_from(WILD), st.text(max_size=50))
numbers = st.one_of(st.none(), st.integers(0, 2**62))
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
volumes = st.builds(Volume, numbers, numbers, numbers)
plain = st.recursive(
    st.one_of(texts, st.none(), st.booleans(), st.integers(), st.floats(), moments),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)
columns = st.lists(
    st.builds(Column, names, texts.filter(str.strip), texts), max_size=4, unique_by=lambda column: column.name
)
checks = st.builds(Check, texts, st.booleans(), st.sampled_from(["error", "warn"]), st.none() | texts, texts)
ends = st.sampled_from(["COMPLETE", "FAIL", "ABORT"])


def any_run(catalog: Catalog) -> st.SearchStrategy[RunFacts]:
    """Runs with anything at all in what comes from outside; asset keys are ours, or of assets that are gone."""
    keys = [job.name for job in catalog.jobs.values() if job.asset_key] + ["gone"]
    assets = st.builds(
        AssetRun,
        asset_key=st.sampled_from(keys),
        step_key=texts,
        attempt=st.integers(0, 3),
        end=ends,
        started_at=moments,
        ended_at=moments,
        columns=st.none() | columns.map(tuple),
        output=volumes,
        inputs=st.dictionaries(st.sampled_from(keys), volumes, max_size=3),
        checks=st.lists(checks, max_size=3).map(tuple),
        error=st.none() | texts,
        stack=st.none() | texts,
        sql=st.none() | texts,
        up_to_date=st.booleans(),
        partition=st.none() | texts,
        facts=st.dictionaries(texts, plain, max_size=3),
    )
    unique = st.lists(assets, max_size=4, unique_by=lambda item: item.asset_key).map(tuple)
    return st.builds(
        RunFacts,
        run_id=st.uuids().map(str),
        job=texts,
        started_by=texts,
        end=ends,
        started_at=moments,
        ended_at=moments,
        assets=unique,
        nominal_start=st.none() | moments,
        nominal_end=st.none() | moments,
        url=st.none() | texts,
        error=st.none() | texts,
        tags=st.dictionaries(texts, texts, max_size=2),
    )
