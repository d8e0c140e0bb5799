"""What counts as well before anything is changed: what was ill before may be so afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from disinto_tui.runs.health import is_well

NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z


def container(status: str, up: float, restarts: int = 0, health: str = "") -> dict[str, Any]:
    import datetime as dt

    started = dt.datetime.fromtimestamp(NOW - up, dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    state: dict[str, Any] = {"Status": status, "StartedAt": started}
    if health:
        state["Health"] = {"Status": health}
    return {"State": state, "RestartCount": restarts}


@pytest.mark.parametrize(
    ("inspect", "well"),
    [
        (container("running", 0.2), True),
        (container("running", 5000, 40), True),
        (container("running", 30, 1), True),
        (container("running", 90, 3, "healthy"), True),
        (container("running", 0.3, 1), False),  # started again a moment ago
        (container("running", 30, 3), False),
        (container("running", 40, 9, "starting"), False),
        (container("running", 5000, 0, "unhealthy"), False),
        (container("restarting", 0.1, 5), False),
        (container("exited", 10), False),
        (container("paused", 10), False),
    ],
)
def test_what_ends_again_and_again_is_not_well_while_it_happens_to_run(
    inspect: dict[str, Any], well: bool
) -> None:
    assert is_well(inspect, NOW) == well
