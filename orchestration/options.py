"""What a caller asked of one run, carried in its tags so that the record of it lies with the run."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestration import names


@dataclass(frozen=True)
class RunOptions:
    """Options of one run.

    Attributes:
        force: build although the stored results upstream say no; recorded as an alert.
        accept_stale: let data older than the declared freshness pass.
        full_refresh: rebuild incremental models from what is in the lake.
        full_checks: test everything, not only what is new.
        retry_delay: seconds before the first retry; None takes the setting.
    """

    force: bool = False
    accept_stale: bool = False
    full_refresh: bool = False
    full_checks: bool = False
    retry_delay: float | None = None

    def to_tags(self) -> dict[str, str]:
        """Render as run tags; what is off is left out."""
        flags = {
            names.TAG_FORCE: self.force,
            names.TAG_ACCEPT_STALE: self.accept_stale,
            names.TAG_FULL_REFRESH: self.full_refresh,
            names.TAG_FULL_CHECKS: self.full_checks,
        }
        tags = {name: "true" for name, on in flags.items() if on}
        if self.retry_delay is not None:
            tags[names.TAG_RETRY_DELAY] = str(self.retry_delay)
        return tags

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "RunOptions":
        """Read back what :meth:`to_tags` wrote; the web page's launchpad may set the same tags by hand."""
        delay = tags.get(names.TAG_RETRY_DELAY)
        return cls(
            force=tags.get(names.TAG_FORCE) == "true",
            accept_stale=tags.get(names.TAG_ACCEPT_STALE) == "true",
            full_refresh=tags.get(names.TAG_FULL_REFRESH) == "true",
            full_checks=tags.get(names.TAG_FULL_CHECKS) == "true",
            retry_delay=float(delay) if delay else None,
        )
