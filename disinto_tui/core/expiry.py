"""When a credential expires, in words, and from when on that is a warning: 14, 7 and 1 days before."""

from __future__ import annotations

import time
from typing import Literal

DAY = 86_400.0
LEVELS = (14, 7, 1)
"""Days before the end from which on it is said; each with more weight than the one before."""


def level_of(expires: float, now: float) -> int | None:
    """The level that is reached: 14, 7 or 1 days left at most, 0 when it is over; None while it is far off."""
    left = expires - now
    if left <= 0:
        return 0
    return min((days for days in LEVELS if left <= days * DAY), default=None)


def severity_of(expires: float, now: float) -> Literal["ok", "warning", "problem"]:
    """What that is to a release: an expired one is a problem, one within 14 days of its end a warning."""
    level = level_of(expires, now)
    if level is None:
        return "ok"
    return "warning" if level else "problem"


def expiry_text(expires: float, now: float) -> str:
    """`expires on 2026-12-01, in 13 days`; `expired on 2026-11-20`. Dates in UTC, and hours on the last day."""
    day = time.strftime("%Y-%m-%d", time.gmtime(expires))
    left, level = expires - now, level_of(expires, now)
    if level == 0:
        return f"expired on {day}"
    if level == 1:
        at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(expires))
        return f"expires at {at}, in {_count(int(left // 3600), 'hour') or 'less than an hour'}"
    return f"expires on {day}, in {_count(int(left // DAY), 'day')}"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}" if number else ""


def expiry_cure(expires: float, now: float) -> str:
    """What to do about it, with the weight of its level; "" while it is far off."""
    cures = {
        14: "Make a new one before then; `disinto docs credentials` says how, step by step.",
        7: "Make a new one this week; `disinto docs credentials` says how, step by step.",
        1: "Make a new one now, before a release is under way with this one; `disinto docs credentials` says how.",
        0: "Make a new one and put it in the place of the old; `disinto docs credentials` says how.",
    }
    level = level_of(expires, now)
    return "" if level is None else cures[level]
