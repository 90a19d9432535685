"""Pages derived from code are what the code says now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


@pytest.mark.parametrize("path", list(generate.PAGES), ids=lambda path: path.name)
def test_a_generated_page_is_up_to_date(path):
    assert path.read_text(encoding="utf-8") == generate.PAGES[path](), "run: python docs/generate.py"


def test_every_setting_is_in_the_reference():
    text = generate.configuration()
    for name in generate.Settings.model_fields:
        assert f"LAKEHOUSE_{name.upper()}`" in text


def test_every_variable_of_lineage_is_in_the_reference_and_explained_where_it_leads():
    names = generate.lineage_variables()
    assert {"OPENLINEAGE_URL", "OPENLINEAGE_NAMESPACE", "OPENLINEAGE_DISABLED"} <= set(names)
    explained = (ROOT / "docs" / "lineage" / "delivery.md").read_text(encoding="utf-8")
    for name in names:
        assert f"`{name}`" in generate.configuration()
        assert re.search(rf"^\| `{name}[`=]", explained, re.MULTILINE), name


def test_every_error_and_alert_has_a_cause_and_a_remedy():
    known = generate.error_catalogue.causes()
    entries = generate.error_catalogue.entries()
    missing = [entry for entry in entries if entry.key not in known]
    assert not missing, "docs/errors.yml lacks: " + "\n".join(f"{entry.key} ({entry.where})" for entry in missing)
    helpless = [entry.key for entry in entries if not (entry.remedy or known[entry.key][1])]
    assert not helpless, "nothing says what to do about: " + "\n".join(helpless)


def test_no_cause_is_left_over_from_a_message_that_is_gone():
    gone = set(generate.error_catalogue.causes()) - {entry.key for entry in generate.error_catalogue.entries()}
    assert not gone, "docs/errors.yml explains what nothing raises: " + "\n".join(sorted(gone))


def test_the_catalogue_finds_errors_of_every_kind():
    messages = [entry.key for entry in generate.error_catalogue.entries()]
    for part in (
        "The bucket of the lake … does not exist.",  # Python
        "--json and --csv exclude each other.",  # the command line's own
        "There is no publish_mode …; there are swap and upsert",  # dbt
        "There is no table marts_build.… of role … to publish",  # PostgreSQL
        "Run … was forced past: - …",  # an alert
    ):
        assert part in messages
