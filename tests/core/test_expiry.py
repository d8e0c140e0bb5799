"""When an expiring credential is said to be one: 14, 7 and 1 days before, and when it is over."""

from __future__ import annotations

import pytest

from disinto_tui.core.expiry import DAY, expiry_cure, expiry_text, level_of, severity_of

NOW = 1_795_564_800.0
"""2026-11-25 00:00:00 UTC."""


@pytest.mark.parametrize(
    ("left", "level", "severity", "text"),
    [
        (15 * DAY, None, "ok", "expires on 2026-12-10, in 15 days"),
        (14 * DAY + 1, None, "ok", "expires on 2026-12-09, in 14 days"),
        (14 * DAY, 14, "warning", "expires on 2026-12-09, in 14 days"),
        (7 * DAY + 1, 14, "warning", "expires on 2026-12-02, in 7 days"),
        (7 * DAY, 7, "warning", "expires on 2026-12-02, in 7 days"),
        (DAY + 1, 7, "warning", "expires on 2026-11-26, in 1 day"),
        (DAY, 1, "warning", "expires at 2026-11-26 00:00 UTC, in 24 hours"),
        (5400, 1, "warning", "expires at 2026-11-25 01:30 UTC, in 1 hour"),
        (1, 1, "warning", "expires at 2026-11-25 00:00 UTC, in less than an hour"),
        (0, 0, "problem", "expired on 2026-11-25"),
        (-DAY, 0, "problem", "expired on 2026-11-24"),
    ],
)
def test_levels(left: float, level: int | None, severity: str, text: str) -> None:
    assert level_of(NOW + left, NOW) == level
    assert severity_of(NOW + left, NOW) == severity
    assert expiry_text(NOW + left, NOW) == text
    assert bool(expiry_cure(NOW + left, NOW)) == (level is not None)


def test_each_level_weighs_more_than_the_one_before() -> None:
    cures = [expiry_cure(NOW + days * DAY, NOW) for days in (14, 7, 1, 0)]
    assert len(set(cures)) == 4
    assert "now" in cures[2] and "now" not in cures[1]
