"""dbt.log says what ran and what went wrong, with secrets masked, and nothing of what is meant for debugging."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Warehouse

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC \[(INFO|WARNING|ERROR) *\] \[[^]]+\]: ")


def test_the_log_holds_what_ran_and_the_error_of_what_failed(warehouse: Warehouse, monkeypatch) -> None:
    monkeypatch.setenv("DBT_ENV_SECRET_TOKEN", "hush-hush")
    warehouse.dbt("build", "--target", "duckdb", "--select", "stg_bioreactor__files", "--vars", "{run_id: hush-hush}")
    failed = warehouse.dbt("compile", "--inline", "{{ exceptions.raise_compiler_error('of hush-hush') }}")
    assert not failed.success
    text = (warehouse.settings.dbt_dir / "logs" / "dbt.log").read_text(encoding="utf-8")
    levels = {found[1] for line in text.splitlines() if (found := LINE.match(line))}
    assert levels - {"WARNING"} == {"INFO", "ERROR"}
    assert "START sql table model staging.stg_bioreactor__files" in text
    assert "of *****" in text
    assert "hush" not in text
    assert "On model.lakehouse.stg_bioreactor__files" not in text, "the SQL sent is for debugging"
