"""Alerts: raised once, open until resolved, in ``data_platform.alert_history``.

What belongs here: the rows of that table, written inside the caller's transaction. What does not: deciding what is
worth an alert, and sending them anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor


@dataclass(frozen=True)
class Alert:
    """Something a person should look at.

    Attributes:
        severity: ``error`` or ``warning``.
        kind: a word of the room that raises it, e.g. ``file_quarantined``.
        subject: the file key or the source it is about. An open alert of the same kind, subject and version is not
            repeated.
        message: what happened.
        remedy: what to do.
        version: distinguishes occurrences about the same subject: the file's fingerprint.
        details: for machines.
    """

    severity: str
    kind: str
    subject: str
    message: str
    remedy: str = ""
    version: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def raise_all(cursor: Cursor, alerts: Iterable[Alert], run_id: str | None) -> int:
    """Write the alerts that are not open yet and return how many; one about a newer version replaces the older."""
    from psycopg2.extras import Json

    written = 0
    for alert in alerts:
        cursor.execute(
            "UPDATE data_platform.alert_history SET resolved_at = now() WHERE resolved_at IS NULL AND kind = %s"
            " AND subject = %s AND coalesce(details->>'version', '') <> %s",
            (alert.kind, alert.subject, alert.version),
        )
        cursor.execute(
            "INSERT INTO data_platform.alert_history (severity, kind, subject, message, remedy, details, run_id)"
            " SELECT %s, %s, %s, %s, %s, %s, %s WHERE NOT EXISTS (SELECT 1 FROM data_platform.alert_history"
            " WHERE resolved_at IS NULL AND kind = %s AND subject = %s)",
            (
                alert.severity,
                alert.kind,
                alert.subject,
                alert.message,
                alert.remedy,
                Json({"version": alert.version, **alert.details}),
                run_id,
                alert.kind,
                alert.subject,
            ),
        )
        written += cursor.rowcount
    return written


def resolve(cursor: Cursor, kind: str, subjects: Iterable[str]) -> int:
    """Close the open alerts of a kind about these subjects; return how many."""
    wanted = list(subjects)
    if not wanted:
        return 0
    cursor.execute(
        "UPDATE data_platform.alert_history SET resolved_at = now()"
        " WHERE resolved_at IS NULL AND kind = %s AND subject = ANY(%s)",
        (kind, wanted),
    )
    return cursor.rowcount
