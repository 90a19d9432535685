"""Graphviz for the browser (WebAssembly), out of the installed package ``graphviz-anywidget``.

The package is a notebook widget; of it one file is used, which holds Graphviz and draws a graph into any element. Its
Python side is never imported, so what that needs is not installed (requirements/overrides.txt).
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from lakehouse.errors import ConfigError

PACKAGE = "graphviz-anywidget"
ASSET = "graphviz_anywidget/static/widget.js"


def source() -> str:
    """The library's JavaScript, an ES module whose default export has ``render({model, el})``.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(ASSET)))
        return path.read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, FileNotFoundError) as error:
        raise ConfigError(
            f"The page needs the package {PACKAGE}, which is not installed.", remedy="Run `make setup`."
        ) from error
