"""Freshness, asked of the ledger: fresh, late, accepted, and what a person reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingestion.checks import age, fresh
from ingestion.declarations import load
from ingestion.ledger_summary import Summary
from lakehouse.settings import Settings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOURCE = load("bioreactor")


def _held(hours: float) -> Summary:
    return Summary(newest_batch="B007", newest_batch_start=NOW - timedelta(hours=hours))


def _settings(**changes) -> Settings:
    return Settings(_env_file=None, **changes)


@pytest.mark.parametrize(("hours", "passed"), [(23.9, True), (24.0, True), (24.1, False)])
def test_the_declared_limit_is_24_hours_after_the_newest_batch_began(hours, passed):
    check = fresh(SOURCE, _held(hours), _settings(), NOW)
    assert (check.passed, check.severity) == (passed, "warn")


def test_a_late_source_says_which_batch_how_old_and_what_to_do():
    check = fresh(SOURCE, _held(24 * 365.25 * 7.6), _settings(), NOW)
    assert check.message.startswith("newest batch B007 started 2019-")
    assert "7.6 years ago; the limit is 24 hours" in check.message
    assert "lakehouse run --accept-stale" in check.message


def test_old_data_passes_where_it_is_accepted_and_says_so():
    check = fresh(SOURCE, _held(100), _settings(accept_stale=True), NOW)
    assert check.passed
    assert check.message.endswith("accepted as stale")


def test_the_setting_overrides_the_declared_limit():
    assert fresh(SOURCE, _held(30), _settings(freshness_hours=48), NOW).passed
    assert not fresh(SOURCE, _held(30), _settings(freshness_hours=12), NOW).passed


def test_an_empty_ledger_has_nothing_to_be_late():
    assert fresh(SOURCE, Summary(), _settings(), NOW).passed


@pytest.mark.parametrize(("hours", "text"), [(5, "5.0 hours"), (72, "3.0 days"), (24 * 730.5, "2.0 years")])
def test_an_age_is_told_in_the_unit_a_person_would_use(hours, text):
    assert age(hours) == text
