"""Settings: defaults, derived values, and faults that are all reported at once without printing a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.errors import ConfigError
from lakehouse.settings import PROJECT_ROOT, Settings, load_settings


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(__import__("os").environ):
        if name.startswith("LAKEHOUSE_"):
            monkeypatch.delenv(name)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def _load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"LAKEHOUSE_{name}", value)
    return load_settings()


def test_without_any_variable_everything_is_embedded(monkeypatch):
    settings = _load(monkeypatch)
    assert settings.embedded_postgres
    assert settings.lake_root == str(PROJECT_ROOT / "data" / "lake")
    assert settings.warehouse == PROJECT_ROOT / "data" / "warehouse" / "lakehouse.duckdb"
    assert settings.nightly_cron == "0 2 * * *"


def test_all_faults_are_named_in_one_error(monkeypatch):
    with pytest.raises(ConfigError) as error:
        _load(
            monkeypatch,
            POSTGRES_PORT="70000",
            TIMEZONE="Mars/Olympus",
            NIGHTLY_CRON="daily",
            LAKE_URL="ftp://x",
            TYPO="1",
        )
    text = str(error.value)
    for name in ("POSTGRES_PORT", "TIMEZONE", "NIGHTLY_CRON", "LAKE_URL", "TYPO"):
        assert f"LAKEHOUSE_{name}" in text
    assert "5 faults" in text


def test_a_faulty_url_is_named_without_its_password(monkeypatch):
    with pytest.raises(ConfigError) as error:
        _load(monkeypatch, STATE_URL="mysql://me:hunter2@db/x", MARTS_URL="postgresql://me:hunter2@db/x")
    assert "LAKEHOUSE_STATE_URL" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_one_postgres_url_without_the_other_is_refused_by_name(monkeypatch):
    with pytest.raises(ConfigError, match="LAKEHOUSE_MARTS_URL is missing"):
        _load(monkeypatch, STATE_URL="postgresql://me:x@db/state")


def test_secrets_are_not_printed_with_the_settings(monkeypatch):
    settings = _load(
        monkeypatch,
        STATE_URL="postgresql://me:hunter2@db/state",
        MARTS_URL="postgresql://me:hunter3@db/marts",
        S3_SECRET_KEY="hunter4",
    )
    assert "hunter" not in repr(settings)
    assert "hunter" not in str(settings.model_dump())


@pytest.mark.parametrize(("limit", "expected"), [("3GB", "3GB"), ("512MiB", "512MiB")], ids=["decimal", "binary"])
def test_a_memory_limit_as_set_is_in_force(monkeypatch, limit, expected):
    assert _load(monkeypatch, DUCKDB_MEMORY_LIMIT=limit).memory_limit == expected


def test_the_default_memory_limit_is_at_most_half_of_the_machine(monkeypatch):
    megabytes = int(_load(monkeypatch).memory_limit.removesuffix("MB"))
    physical = Path("/proc/meminfo").read_text().split()[1]
    assert 0 < megabytes <= min(8000, int(physical) // 2 // 1000 * 1.03)


def test_an_s3_lake_keeps_its_prefix(monkeypatch):
    assert _load(monkeypatch, LAKE_URL="s3://lake/prod/").lake_root == "s3://lake/prod"
