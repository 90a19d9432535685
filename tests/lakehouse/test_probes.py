"""Whether a service works, beyond an open port."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.errors import UnavailableError
from lakehouse.services import probes
from lakehouse.settings import Settings


@pytest.mark.parametrize(
    ("beat_ago", "began_ago", "works"),
    [(20, 60, True), (130, 600, False), (20, 10, False), (20, -3600, True), (-3600, -3600, True)],
    ids=["fresh", "silent", "of a former process", "clock set back since", "and no beat since"],
)
def test_a_daemon_works_by_its_last_heartbeat(monkeypatch, beat_ago, began_ago, works):
    beat = {"daemonType": "SENSOR", "required": True, "lastHeartbeatTime": time.time() - beat_ago}
    answer = {"data": {"instance": {"daemonHealth": {"allDaemonStatuses": [beat]}}}}
    monkeypatch.setattr(probes, "_http", lambda *_: answer)
    since = datetime.now(UTC) - timedelta(seconds=began_ago)
    if works:
        probes.daemon(Settings(_env_file=None), since)
    else:
        with pytest.raises(UnavailableError, match="No recent heartbeat of: SENSOR"):
            probes.daemon(Settings(_env_file=None), since)
