"""The page as one string.

Everything in it is data of others: names, descriptions, SQL, errors. So data goes in as JSON in which no sign can end
its element, the page writes it as text and never as HTML, and a content security policy allows no network, no script
but the page's own, and no form.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from lineage.graph import Graph
from lineage.page import library
from lineage.page.model import page_model

SCRIPTS = ("model.js", "layout.js", "view.js", "details.js", "list.js", "main.js")
"""In this order they make one module."""


def html(graph: Graph, *, made_at: datetime | None = None, about: str = "") -> str:
    """The whole page.

    Args:
        graph: what it shows.
        made_at: ages are counted from it; now if None.
        about: where the graph comes from, for the page's foot.

    Raises:
        ConfigError: the graph library is not installed.
    """
    data = page_model(graph, made_at=made_at or datetime.now(UTC), about=about)
    script = "\n".join(_asset(name) for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}' blob: 'wasm-unsafe-eval'; "
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "style": _asset("page.css"),
        "data": _json(data),
        "library": _json(library.source()),
        "script": script,
    }
    # One pass: what is put in may itself hold something that looks like a place.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _asset("page.html"))


def _json(value: Any) -> str:
    """JSON that is safe inside a script element and in any JavaScript engine."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate stays an escape


def _asset(name: str) -> str:
    return resources.files("lineage.page").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
