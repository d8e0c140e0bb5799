"""Which rows of a log are on the screen: cut lines, one row each, or wrapped ones, several.

Wrapped rows are found from where the view stands, the way a pager does it, so that a million lines cost no more
than a screenful. A place is (line number, row within that line).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len

from disinto_tui.tui.log.lines import LogLines

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the screen: characters `start` to `stop` of a line; `row` counts within the line."""

    number: int
    row: int
    start: int
    stop: int


def breaks(text: str, width: int) -> list[int]:
    """Where a text of any width is broken so that every row has at most `width` cells: the rows' starts."""
    if width <= 0 or (text.isascii() and len(text) <= width):
        return [0]
    if text.isascii():
        return list(range(0, len(text), width))
    starts, used = [0], 0
    for at, letter in enumerate(text):
        cells = cell_len(letter)
        if used + cells > width and used:
            starts.append(at)
            used = 0
        used += cells
    return starts


class Rows:
    """Walks over the rows of a log for a width; `wrap` False makes every line one row."""

    def __init__(self, log: LogLines, width: int, wrap: bool) -> None:
        self.log, self.width, self.wrap = log, width, wrap

    def of(self, number: int) -> list[Row]:
        """The rows of one line."""
        text = self.log.text(number)
        if not self.wrap:
            return [Row(number, 0, 0, len(text))]
        starts = breaks(text, self.width)
        stops = [*starts[1:], len(text)]
        return [
            Row(number, row, start, stop) for row, (start, stop) in enumerate(zip(starts, stops, strict=True))
        ]

    def down(self, place: Place) -> Iterator[Row]:
        """Rows from a place on."""
        number, row = place
        while number < self.log.end:
            yield from self.of(number)[row:]
            number, row = number + 1, 0

    def up(self, place: Place) -> Iterator[Row]:
        """Rows before a place, the nearest first."""
        number, row = place
        if number < self.log.end and row:
            yield from reversed(self.of(number)[:row])
        while number > self.log.first:
            number -= 1
            yield from reversed(self.of(number))

    def moved(self, place: Place, by: int) -> Place:
        """The place so many rows below (or above), as far as there are rows."""
        if not self.wrap:
            return (max(self.log.first, min(place[0] + by, max(self.log.first, self.log.end - 1))), 0)
        walk = self.down(place) if by > 0 else self.up(place)
        found, left = place, abs(by) + (1 if by > 0 else 0)
        for row in walk:
            if left == 0:
                break
            found, left = (row.number, row.row), left - 1
        return found

    def last(self, height: int) -> Place:
        """The place that shows the newest row at the bottom."""
        if not self.wrap:
            return (max(self.log.first, self.log.end - height), 0)
        found: Place = (self.log.first, 0)
        for count, row in enumerate(self.up((self.log.end, 0)), 1):
            found = (row.number, row.row)
            if count == height:
                break
        return found

    def visible(self, place: Place, height: int) -> list[Row]:
        """The rows of a screen that begins at a place."""
        rows: list[Row] = []
        for row in self.down(place):
            if len(rows) >= height:
                break
            rows.append(row)
        return rows
