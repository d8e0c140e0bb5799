"""Searching a whole log while it grows, a slice at a time, so that no key ever waits for it."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right

from disinto_tui.tui.log.lines import LogLines

SLICE_LINES = 1_000


def pattern_of(query: str) -> re.Pattern[str]:
    """What is searched for, literally; a capital letter in it makes case count."""
    return re.compile(re.escape(query), 0 if query != query.lower() else re.IGNORECASE)


class LogSearch:
    """The matching lines of a log found so far. `step` looks through one more slice."""

    def __init__(self, lines: LogLines, query: str) -> None:
        self.query = query
        self.pattern = pattern_of(query)
        self._lines = lines
        self._next = lines.first
        self._hits = array("Q")

    @property
    def complete(self) -> bool:
        """Whether every line there is was looked at."""
        return self._next >= self._lines.end

    @property
    def ahead(self) -> bool:
        """Whether lines were looked at that are no longer there."""
        return self._next > self._lines.end

    @property
    def count(self) -> int:
        """Matching lines so far."""
        return len(self._hits)

    def step(self, lines: int = SLICE_LINES) -> bool:
        """Look through some more lines; whether there is more to look through."""
        start = max(self._next, self._lines.first)
        stop = min(start + lines, self._lines.end)
        self._hits.extend(self._lines.find(self.pattern, start, stop))
        self._next = stop
        return not self.complete

    def after(self, number: int) -> int | None:
        """The next match below a line; from the last one on to the first."""
        if not self._hits:
            return None
        at = bisect_right(self._hits, number)
        return self._hits[at if at < len(self._hits) else 0]

    def before(self, number: int) -> int | None:
        """The match above a line; from the first one on to the last."""
        return self._hits[bisect_left(self._hits, number) - 1] if self._hits else None

    def place(self, number: int) -> int:
        """Which match a line is, counting from 1; 0 when it is none."""
        at = bisect_left(self._hits, number)
        return at + 1 if at < len(self._hits) and self._hits[at] == number else 0
