"""Whether building a model again would change anything: digests of code and inputs, compared with the last good build.

A model's digest covers the manifest (code, settings), the accepted files of the source it reads directly, and the
digests of the models it reads. A model in the same step counts with its new digest, one outside it with the digest of
what is really there, so that building a part of the graph never vouches for inputs it did not see.
"""

import hashlib
from collections.abc import Mapping, Sequence

from orchestration.assets.dbt_graph import DbtGraph, Model


def digests(
    models: Sequence[Model],
    graph: DbtGraph,
    *,
    manifest_key: str,
    ledger: Mapping[str, str],
    stored: Mapping[str, str],
) -> dict[str, str | None]:
    """Digest of code and inputs of each model; None where an input has none.

    Args:
        models: to be built, each after those it reads.
        graph: who reads whom.
        manifest_key: hash of the project and the settings.
        ledger: digest of the accepted files by source.
        stored: digests of what is built now, by asset key.
    """
    result: dict[str, str | None] = {}
    for model in models:
        inputs: list[str | None] = [manifest_key, model.asset_key]
        if model.source is not None:
            inputs.append(ledger.get(model.source))
        for parent in sorted(graph.parents(model), key=lambda item: item.asset_key):
            inputs.append(result[parent.asset_key] if parent.asset_key in result else stored.get(parent.asset_key))
        known = [item for item in inputs if item is not None]
        complete = len(known) == len(inputs)
        result[model.asset_key] = hashlib.sha256("\0".join(known).encode()).hexdigest()[:32] if complete else None
    return result


def all_up_to_date(wanted: Mapping[str, str | None], stored: Mapping[str, str]) -> bool:
    """Whether every model's present build was made from just these inputs."""
    return bool(wanted) and all(
        digest is not None and stored.get(asset_key) == digest for asset_key, digest in wanted.items()
    )
