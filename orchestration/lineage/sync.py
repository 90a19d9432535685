"""Metadata that no run tells: brought to lineage every six hours, and whenever the declarations have changed.

What belongs here: when, and what was known before. What does not: the events (:mod:`lineage.events`).
"""

from lakehouse.settings import Settings


def try_to_sync(settings: Settings) -> str:
    """Tell lineage what is declared now; what went wrong is logged, and nothing is raised."""
    return f"Nothing to tell yet at {settings.page}."
