"""Pages derived from code are what the code says now."""

from __future__ import annotations

import importlib.util
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
