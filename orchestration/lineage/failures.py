"""Why a step or a run failed, in the words of whoever knows best: the model, the gate, the server, the reaper.

What belongs here: finding those words in Dagster's events. What does not: which asset they are about
(:mod:`orchestration.lineage.records`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterRun

from orchestration import names
from orchestration.outages import is_interruption


@dataclass(frozen=True)
class Why:
    """A reason.

    Attributes:
        error: one paragraph.
        stack: the longer text behind it; None where there is none to speak of.
        held_up: a gate refused the step, so that none of its assets was touched.
        interrupted: the step was broken off from outside.
    """

    error: str | None = None
    stack: str | None = None
    held_up: bool = False
    interrupted: bool = False


def of_step(event: DagsterEvent) -> Why:
    """The reason in an event that says that a step failed or is up for retry."""
    if event.event_type is DagsterEventType.STEP_UP_FOR_RETRY:
        return _of_error(event.step_retry_data.error)
    data = event.step_failure_data
    told = data.user_failure_data
    if told is not None and told.description:
        return Why(told.description.strip(), held_up="blocked" in told.metadata)
    return _of_error(data.error)


def of_run(run: DagsterRun, steps: Sequence[Why], ending: Sequence[Why]) -> Why:
    """The reason a run did not succeed: of its death, else of the last step that failed, else of its last words.

    Args:
        run: it has ended.
        steps: reasons of the attempts that failed, in order.
        ending: words of the run's own engine events and of its failure, in order.
    """
    said = [words.error.strip() for words in ending if words.error and words.error.strip()]
    if run.tags.get(names.TAG_DIED) == run.run_id and said:
        return Why(said[-1])
    told = [why for why in steps if why.error and not why.interrupted]
    return told[-1] if told else Why(said[-1] if said else None)


def last_words(event: DagsterEvent) -> Why:
    """What an event of the run itself says."""
    # A run that somebody else fails, such as the reaper, has a message only.
    data = event.event_specific_data if event.event_type is DagsterEventType.RUN_FAILURE else None
    told = _of_error(getattr(data, "error", None))
    return replace(told, error=told.error or event.message or "")


def _of_error(error: Any) -> Why:
    """The driver's or the platform's own error is at the bottom; Dagster wraps what is raised within a step."""
    if error is None:
        return Why()
    deepest = error
    interrupted = is_interruption(error)
    while deepest.cause is not None:
        deepest = deepest.cause
        interrupted = interrupted or is_interruption(deepest)
    # Python's rendering begins with the exception's name and ends with a line feed.
    text = deepest.message.strip().removeprefix(f"{deepest.cls_name}: ")
    head, _, rest = text.partition(": ")
    plain = rest if rest and head.rpartition(".")[2] == deepest.cls_name else text
    return Why(plain.strip(), error.to_string(), interrupted=interrupted)
