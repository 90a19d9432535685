"""The verdicts of all checks as the platform has them stored, in lineage's words.

What belongs here: that. What does not: the verdicts of one run (:mod:`orchestration.lineage.records`).
"""

from collections.abc import Iterable

from psycopg2.extensions import connection as Connection

from lakehouse import state
from lineage.facts import Check


def stored_verdicts(connection: Connection, asset_keys: Iterable[str]) -> dict[str, list[Check]]:
    """Asset key → the latest verdict of each of its checks.

    Args:
        connection: to the state database, with no transaction open.
        asset_keys: of which assets.
    """
    found: dict[str, list[Check]] = {}
    for check in state.stored_checks(connection, asset_keys):
        column = check.metadata.get("column")
        found.setdefault(check.asset_key, []).append(
            Check(
                check.check_name,
                check.passed,
                "error" if check.severity == "error" else "warn",
                str(column) if column is not None else None,
                "" if check.passed else check.message,
            )
        )
    return found
