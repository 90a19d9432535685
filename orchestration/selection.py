"""What ``lakehouse run --select`` understands, translated to Dagster's selection syntax.

Layer names (``dbt_curated_models``, ``dbt_staging_models+``), domains (``bioreactor``), asset or model names, and
everything Dagster's own syntax offers pass through one function.
"""

import re
from collections.abc import Collection

from lakehouse.errors import ConfigError
from orchestration import names

LAYERS = {
    "raw": 'tag:"layer"="raw"',
    **{
        layer.name: "(" + " or ".join(f'tag:"{names.TAG_LAYER}"="{tag}"' for tag in layer.tags) + ")"
        for layer in names.LAYERS
    },
}
WORD = re.compile(r'"[^"]*"|[\w.\-*]+(?::)?')
OPERATORS = {"and", "or", "not", "roots", "sinks"}


def to_dagster(selection: str, *, domains: Collection[str], assets: Collection[str]) -> str:
    """Translate a selection.

    Args:
        selection: as given by a user, e.g. ``dbt_staging_models+`` or ``bioreactor and not dbt_postgres_marts``.
        domains: domains that exist.
        assets: asset keys that exist.

    Returns:
        The same in Dagster's asset selection syntax.

    Raises:
        ConfigError: words that are neither layer, domain nor asset; all of them are named, with near misses.
    """
    if selection.strip() in {"*", "all", ""}:
        return "*"
    unknown: list[str] = []
    after_attribute = False

    def replace(match: "re.Match[str]") -> str:
        nonlocal after_attribute
        word = match.group(0)
        if word.endswith(":"):  # an attribute of Dagster's syntax, such as tag: or group:
            after_attribute = True
            return word
        if after_attribute or word.startswith('"') or word in OPERATORS or word.isdigit():
            after_attribute = selection[match.end() : match.end() + 1] == "="
            return word
        if word in LAYERS:
            return LAYERS[word]
        if word in assets:
            return f'key:"{word}"'
        if word in domains:
            return f'group:"{word}"'
        if "*" in word:
            return f'key:"{word}"'
        unknown.append(word)
        return word

    translated = WORD.sub(replace, selection.replace(",", " or "))
    if unknown:
        raise ConfigError(
            f"Nothing is called {', '.join(unknown)}.",
            remedy=f"Layers: {', '.join(LAYERS)}. Domains: {', '.join(sorted(domains))}. "
            f"Assets: {', '.join(sorted(assets))}. Dagster's selection syntax works too.",
        )
    return translated
