"""The rows of a log as strips: marked, searched, selected, cut to the width.

In a flood every row is another one each time, so a frame is what painting costs: what its rows have in common is
looked up once, and each row becomes one strip, made of segments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.selection import Selection
from textual.strip import Strip

from disinto_tui.tui.log.lines import LogLines
from disinto_tui.tui.log.rows import Place, Row

TROUBLE = re.compile(
    r"\b(?:errors?|fatal|fail(?:ed|ure|s)?|panic|exception|traceback|denied|refused|unhealthy|cannot|not found"
    r"|killed|timed out|exit code [1-9]\d*)\b|^✗",
    re.IGNORECASE,
)
"""A line that looks like an error."""
TONES = ("plain", "dim", "good", "warn", "bad")
"""Each has a component class `log--TONE`."""
EDGE = 2
"""Columns beside the text: the mark at the left, the scroll bar at the right."""


class Frame:
    """One painting of a log: `width` by `height` cells, of which `prefix_width` are for the lines' sources.

    `style` gives the style of a component class; `found` is what is searched for, `chosen` what the mouse selected and
    the style for it, `left` the first column that is shown, None where lines are wrapped. `place` is where the rows
    begin, and `following` whether that is the log's end.
    """

    def __init__(
        self,
        lines: LogLines,
        rows: Sequence[Row],
        *,
        width: int,
        height: int,
        prefix_width: int,
        style: Callable[[str], Style],
        over: Style,
        mark: int | None = None,
        found: re.Pattern[str] | None = None,
        chosen: tuple[Selection, Style] | None = None,
        left: int | None = None,
        place: Place = (0, 0),
        following: bool = True,
    ) -> None:
        self.lines, self.rows, self.width = lines, rows, width
        self._room = max(1, width - EDGE - prefix_width)
        self._prefixed = bool(prefix_width)
        self._style, self._over = style, over
        self._plain, self._dim, self._bad = style("log--plain"), style("log--dim"), style("log--bad")
        self._mark, self._found, self._chosen, self._left = mark, found, chosen, left
        bar, thumb = Segment("│", style("log--bar")), Segment("┃", style("log--thumb"))
        self._bars = [bar] * height
        total = lines.end - lines.first
        if total <= height and left is not None:
            self._bars = [Segment(" ", style("log--bar"))] * height
        else:
            size = max(1, min(height, height * height // max(total, height)))
            span = max(1, total - min(height, total))
            top = round((height - size) * min(place[0] - lines.first, span) / span)
            if following:
                top = height - size
            self._bars[top : top + size] = [thumb] * size

    def row(self, y: int, empty: str = "") -> Strip:
        """One row of the screen; `empty` is what the first one says where there are none."""
        if y >= len(self.rows):
            text = empty if y == 0 and not self.rows else ""
            room = max(0, self.width - 1)
            return Strip([Segment(f" {text}"[:room].ljust(room), self._dim), self._bars[y]])
        row = self.rows[y]
        marked = row.number == self._mark
        segments = [Segment("▸" if marked and row.row == 0 else " ", self._plain)]
        if self._prefixed:
            segments.append(self._prefix(row))
        segments += self._text(row, marked)
        segments.append(self._bars[y])
        return Strip(segments, self.width)

    def _prefix(self, row: Row) -> Segment:
        prefix = self.lines.prefix(row.number) if row.row == 0 else None
        name, tone = prefix or ("", "dim")
        return Segment(f"{name[:16]:<16} │ ", self._style(f"log--{tone}") if tone in TONES else self._dim)

    def _text(self, row: Row, marked: bool) -> list[Segment]:
        """Exactly as many cells as there is room for."""
        whole, room = self.lines.text(row.number), self._room
        start = row.start if self._left is None else self._left
        style, blank = self._bad if TROUBLE.search(whole) else self._plain, self._plain
        if marked:
            style, blank = style + self._over, blank + self._over
        segments = []
        at = start
        for segment in self._pieces(whole, start, whole[start : row.stop], style, row.number):
            # What the mouse selects by: which line, and the how manieth character of it.
            place = Style.from_meta({"offset": (at, row.number)})
            segments.append(Segment(segment.text, segment.style + place if segment.style else place))
            at += len(segment.text)
        cells = sum(len(one.text) if one.text.isascii() else cell_len(one.text) for one in segments)
        if cells > room:
            return [*Strip(segments, cells).crop(0, room - 1), Segment("›", self._dim)]
        if cells < room:
            segments.append(Segment(" " * (room - cells), blank))
        return segments

    def _pieces(self, whole: str, start: int, shown: str, style: Style, number: int) -> list[Segment]:
        """The text in pieces: plain, found, selected."""
        spans: list[tuple[int, int, Style]] = []
        if self._found is not None:
            hit = self._style("log--hit")
            spans += [(found.start(), found.end(), hit) for found in self._found.finditer(whole)]
        if self._chosen is not None and (span := self._chosen[0].get_span(number)) is not None:
            spans.append((span[0], len(whole) if span[1] == -1 else span[1], self._chosen[1]))
        if not spans:
            return [Segment(shown, style)] if shown else []
        stop = start + len(shown)
        cuts = sorted({start, stop, *(min(max(edge, start), stop) for one in spans for edge in one[:2])})
        segments = []
        for low, high in pairwise(cuts):
            piece = style
            for begin, end, more in spans:
                if begin <= low and high <= end:
                    piece += more
            segments.append(Segment(whole[low:high], piece))
        return segments
