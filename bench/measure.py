"""What every benchmark shares: turns with a yardstick, numbers as min / median / max, and the table."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.ground import Instance

ROOT = Path(__file__).resolve().parents[1]
Timed = Callable[[], float]
"""Does something once and says how many seconds it took."""


class NotMeasured(Exception):
    """Something this machine does not have is needed; the message says what. No failure of the tool."""


@dataclass(frozen=True)
class Spread:
    """Some measurements of one thing. A single one is its own median."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def text(self, unit: str = "", scale: float = 1.0) -> str:
        """`0.105 s (0.075-0.124)`: the median, then the smallest and the largest."""
        shown = number(self.median * scale)
        ends = (number(min(self.values) * scale), number(max(self.values) * scale))
        unit = f" {unit}" if unit else ""
        return f"{shown}{unit}" if len(self.values) == 1 else f"{shown}{unit} ({ends[0]}-{ends[1]})"


def spread(values: Iterable[float]) -> Spread:
    return Spread(tuple(values))


def number(value: float) -> str:
    """Three digits that mean something, and thousands apart."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    # Rounded first: 0.0999… is 0.1 and has no more digits than that.
    digits = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{min(digits, 4)}f}"


@dataclass(frozen=True)
class Row:
    """A line of the table. `value` is what the budget bounds: a ratio or a number.

    `at_least` turns the budget round. Without a `value` it could not be measured and `note` says why;
    `failed` tells that from a measurement that went wrong.
    """

    what: str
    measured: str = ""
    yardstick: str = ""
    value: float | None = None
    budget: float | None = None
    at_least: bool = False
    unit: str = ""
    spread: str = ""
    note: str = ""
    failed: bool = False

    @property
    def ok(self) -> bool | None:
        """None when there is nothing to compare."""
        if self.value is None or self.budget is None:
            return None
        return self.value >= self.budget if self.at_least else self.value <= self.budget

    def cells(self) -> tuple[str, ...]:
        unit = f" {self.unit}" if self.unit else ""
        limit = (
            "" if self.budget is None else f"{'>=' if self.at_least else '<='} {number(self.budget)}{unit}"
        )
        if self.value is None:
            said = "failed" if self.failed else "not measured"
            return self.what, f"{said}: {self.note}", "", "", limit, "-"
        shown = number(self.value) + unit + (f" ({self.spread})" if self.spread else "")
        verdict = {None: "-", True: "yes", False: "NO"}[self.ok]
        return self.what, self.measured, self.yardstick, shown, limit, verdict


HEADINGS = ("what", "measured", "yardstick", "ratio or number", "budget", "ok")


def table(rows: Sequence[Row]) -> str:
    """The rows in columns; what could not be measured runs over the columns that it leaves empty."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    full = [HEADINGS, *(row.cells() for row in rows if row.value is not None)]
    widths = [max(len(line[column]) for line in full) for column in range(len(HEADINGS))]
    widths[0] = max(len(line[0]) for line in lines)
    span = sum(widths[1:4]) + 4
    out = []
    for line in lines:
        if not line[2] and not line[3]:
            parts = [line[0].ljust(widths[0]), line[1].ljust(span), line[4].ljust(widths[4]), line[5]]
        else:
            parts = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        out.append("  ".join(parts).rstrip())
    out.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"{row.what}: {row.note}" for row in rows if row.note and row.value is not None]
    return "\n".join([*out, *([""] if notes else []), *notes])


def as_json(row: Row) -> Mapping[str, object]:
    return {**asdict(row), "ok": row.ok}


@dataclass
class Context:
    """What a benchmark is given: how often, where it may write, and a running factory that all of them share."""

    rounds: int
    directory: Path
    ending: contextlib.ExitStack
    _factory: Instance | None = None
    _missing: str = ""

    def factory(self) -> Instance:
        """A factory that runs, started for the first who asks. Raises NotMeasured without an engine."""
        from bench.ground import running_instance

        if self._missing:
            raise NotMeasured(self._missing)
        if self._factory is None:
            try:
                self._factory = self.ending.enter_context(running_instance(self.directory))
            except NotMeasured as error:
                self._missing = str(error)
                raise
        return self._factory


def take_turns(rounds: int, contestants: Mapping[str, Timed]) -> dict[str, list[float]]:
    """Seconds of each contestant, round after round, so that a slow spell of the machine hits all of them.

    One round more is run first and dropped: cold caches.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, timed in contestants.items():
            seconds = timed()
            if turn:
                found[name].append(seconds)
    return found


def ratio_row(
    what: str,
    ours: Sequence[float],
    yardstick: Sequence[float],
    name: str,
    budget: float | None = None,
    *,
    note: str = "",
) -> Row:
    """Ours against the yardstick, pair by pair: the median of the rounds' ratios is what counts."""
    ratios = spread(mine / other for mine, other in zip(ours, yardstick, strict=True))
    return Row(
        what,
        spread(ours).text("s"),
        f"{name} {spread(yardstick).text('s')}",
        ratios.median,
        budget,
        spread=f"{number(min(ratios.values))}-{number(max(ratios.values))}",
        note=note,
    )


def seconds(work: Callable[[], object]) -> float:
    """How long it takes once."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
