"""Sizes, spans and shares as people write them; one wording for the command line and the terminal UI."""

from __future__ import annotations


def size_text(count: int) -> str:
    """Bytes for people: `41 MB`; "?" when not known (-1)."""
    if count < 0:
        return "?"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit in ("B", "kB") or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def counted(number: int, unit: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


def age_text(seconds: float) -> str:
    """A span for people: `12 s`, `4 min`, `3 h`, `9 d`."""
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds // divisor))} {unit}"
    return f"{int(seconds // 86_400)} d"


def clock_text(seconds: float) -> str:
    """A running time: `4 s`, `2:58`, `1:04:09`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def bar_text(current: int, total: int, width: int) -> str:
    """A share as a bar of `width` cells; all empty when the total is not known."""
    full = round(width * min(current, total) / total) if total > 0 else 0
    return "█" * full + "░" * (width - full)
