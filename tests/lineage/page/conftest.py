"""One browser for all tests of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from browser import Page, a_page
from synthetic import NOW

from lineage.graph import Graph
from lineage.page.build import html


@pytest.fixture(scope="session")
def tab() -> Iterator[Page]:
    """The browser's tab."""
    with a_page() as page:
        yield page


@pytest.fixture
def opened(tab: Page, tmp_path) -> Iterator[Callable[..., Page]]:
    """Opens the page of a graph from a file, as somebody who was sent it would; nothing may go wrong on the way."""
    tab.errors.clear()

    def open_page(graph: Graph, fragment: str = "") -> Page:
        file = tmp_path / "lineage.html"
        file.write_text(html(graph, made_at=NOW), encoding="utf-8")
        tab.open(f"{file.as_uri()}{fragment and '#'}{fragment}")
        return tab

    yield open_page
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith(("file:", "blob:", "data:"))] == []
