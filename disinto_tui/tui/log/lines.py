"""Where a log view's lines come from: a run's log file, one step's part of it, or services' lines in memory.

Lines have absolute numbers from `first` to `end` (exclusive). A file's text stays on the disk: what is kept in
memory is where each line begins, eight bytes a line, and the few blocks that were looked at last.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Protocol

from disinto_tui.core.text import neutralise

Prefix = tuple[str, str]
"""A line's source and the tone it is shown in."""

READ_BYTES = 1 << 16
"""How much of a file is taken in at a time, before keys and painting have their turn."""
_SAVED_BYTES = 1 << 20
_BLOCK_LINES = 256
_BLOCKS = 16


class LogLines(Protocol):
    """Lines by number. `width` is the widest one seen, in characters."""

    @property
    def first(self) -> int:
        """The number of the oldest line there is."""

    @property
    def end(self) -> int:
        """One more than the number of the newest."""

    @property
    def width(self) -> int:
        """The widest line so far."""

    def text(self, number: int) -> str:
        """One line: no line end, nothing in it that drives a terminal."""

    def prefix(self, number: int) -> Prefix | None:
        """Where that line comes from, when there are several sources."""

    def find(self, pattern: re.Pattern[str], start: int, stop: int) -> list[int]:
        """The numbers of matching lines in [start, stop)."""

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The lines in [start, stop) as a file holds them. What is asked for is settled at once; another thread may
        read the pieces while the log grows."""


class FileLog:
    """The lines of a growing file. `grow` takes in what was appended since."""

    first = 0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts = array("Q", [0])
        self._cache: OrderedDict[int, list[str]] = OrderedDict()
        self.width = 0

    @property
    def end(self) -> int:
        """Complete lines so far."""
        return len(self._starts) - 1

    @property
    def size(self) -> int:
        """Bytes taken in so far, complete lines only."""
        return self._starts[-1]

    def grow(self, limit: int = READ_BYTES) -> bool:
        """Take in at most `limit` more bytes; whether there was anything."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            data = os.pread(descriptor, limit, self.size)
        finally:
            os.close(descriptor)
        cut = data.rfind(b"\n")
        if cut < 0:
            if len(data) < limit:
                return False
            cut = len(data) - 1  # a line longer than a block is broken into several
        lengths = [len(part) + 1 for part in data[:cut].split(b"\n")]
        before = self.end
        self._starts.extend(list(accumulate(lengths, initial=self.size))[1:])
        self.width = max(self.width, max(lengths) - 1)
        self._cache.pop(before // _BLOCK_LINES, None)
        return True

    def line_at(self, offset: int) -> int:
        """The number of the line that begins at (or next after) a byte offset."""
        return min(bisect_left(self._starts, offset), self.end)

    def text(self, number: int) -> str:
        """One line."""
        return self._block(number // _BLOCK_LINES)[number % _BLOCK_LINES]

    def prefix(self, number: int) -> Prefix | None:
        """One source only."""
        return None

    def find(self, pattern: re.Pattern[str], start: int, stop: int) -> list[int]:
        """Matching lines, read past the cache."""
        return [number for number, text in enumerate(self._read(start, stop), start) if pattern.search(text)]

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The file's own bytes."""
        return self._bytes(self._starts[start], self._starts[max(start, stop)])

    def _bytes(self, at: int, end: int) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            file.seek(at)
            while at < end and (data := file.read(min(_SAVED_BYTES, end - at))):
                at += len(data)
                yield data

    def _block(self, block: int) -> list[str]:
        found = self._cache.get(block)
        if found is None:
            start = block * _BLOCK_LINES
            found = self._read(start, min(start + _BLOCK_LINES, self.end))
            self._cache[block] = found
            if len(self._cache) > _BLOCKS:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(block)
        return found

    def _read(self, start: int, stop: int) -> list[str]:
        if stop <= start:
            return []
        begin, size = self._starts[start], self._starts[stop] - self._starts[start]
        try:
            with self._path.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), size, begin)
        except OSError:
            data = b""
        ends = self._starts[start + 1 : stop + 1]
        cuts = (
            data[at - begin : end - begin] for at, end in zip(self._starts[start:stop], ends, strict=True)
        )
        # Written by this tool, so neutralised already; a log edited by hand may hold anything.
        return [neutralise(cut.rstrip(b"\n").decode(errors="replace")).expandtabs(8) for cut in cuts]


class PartLog:
    """Some ranges of another log, numbered from 0. The last one may be open (`stop` None): to the log's end."""

    first = 0

    def __init__(self, whole: LogLines, ranges: Sequence[tuple[int, int | None]]) -> None:
        self._whole = whole
        self._ranges = list(ranges)

    @property
    def end(self) -> int:
        """How many lines the ranges hold."""
        return sum(max(0, stop - start) for start, stop in self._spans())

    @property
    def width(self) -> int:
        """The widest line of the whole log: good enough to scroll sideways."""
        return self._whole.width

    def _spans(self) -> list[tuple[int, int]]:
        end = self._whole.end
        return [(start, end if stop is None else min(stop, end)) for start, stop in self._ranges]

    def origin(self, number: int) -> int:
        """The number a line has in the whole log."""
        left = number
        for start, stop in self._spans():
            if left < stop - start:
                return start + left
            left -= max(0, stop - start)
        raise IndexError(number)

    def text(self, number: int) -> str:
        """One line."""
        return self._whole.text(self.origin(number))

    def prefix(self, number: int) -> Prefix | None:
        """The line's source."""
        return self._whole.prefix(self.origin(number)) if number < self.end else None

    def find(self, pattern: re.Pattern[str], start: int, stop: int) -> list[int]:
        """Matching lines of the parts that [start, stop) touches."""
        found: list[int] = []
        passed = 0
        for begin, end in self._spans():
            size = max(0, end - begin)
            low, high = max(start - passed, 0), min(stop - passed, size)
            if low < high:
                hits = self._whole.find(pattern, begin + low, begin + high)
                found += [hit - begin + passed for hit in hits]
            passed += size
        return found

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of those parts."""
        found: list[Iterator[bytes]] = []
        passed = 0
        for begin, end in self._spans():
            size = max(0, end - begin)
            low, high = max(start - passed, 0), min(stop - passed, size)
            if low < high:
                found.append(self._whole.pieces(begin + low, begin + high))
            passed += size
        return chain.from_iterable(found)


class StepLog(PartLog):
    """The lines of one step of a run, which may have run several times: `parts` are its bytes of the file as they are
    known by now, the last one open while it runs."""

    def __init__(self, whole: FileLog, parts: Sequence[tuple[int, int | None]]) -> None:
        super().__init__(whole, ())
        self._file, self._parts = whole, parts

    def _spans(self) -> list[tuple[int, int]]:
        place, end = self._file.line_at, self._file.end
        return [(place(low), end if high is None else place(high)) for low, high in self._parts]


class MemoryLog:
    """The newest `limit` lines of several sources, oldest first; older ones are let go."""

    def __init__(self, limit: int = 50_000) -> None:
        self._lines: deque[tuple[str, Prefix | None]] = deque(maxlen=limit)
        self.first = 0
        self.width = 0

    @property
    def end(self) -> int:
        """One more than the newest line's number."""
        return self.first + len(self._lines)

    def append(self, lines: Iterable[tuple[str, Prefix | None]]) -> None:
        """Add lines."""
        limit = self._lines.maxlen or 0
        for text, prefix in lines:
            if len(self._lines) == limit:
                self.first += 1
            clean = neutralise(text).expandtabs(8)
            self._lines.append((clean, prefix))
            self.width = max(self.width, len(clean))

    def of(self, source: str) -> MemoryLog:
        """A log of one source's lines alone."""
        found = MemoryLog(self._lines.maxlen or 0)
        found.append((text, prefix) for text, prefix in self._lines if prefix and prefix[0] == source)
        return found

    def text(self, number: int) -> str:
        """One line."""
        return self._lines[number - self.first][0]

    def prefix(self, number: int) -> Prefix | None:
        """Where it comes from."""
        return self._lines[number - self.first][1]

    def find(self, pattern: re.Pattern[str], start: int, stop: int) -> list[int]:
        """Matching lines."""
        low, high = max(start, self.first), min(stop, self.end)
        return [number for number in range(low, high) if pattern.search(self.text(number))]

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Each line, its source before it."""
        low, high = max(start, self.first), min(stop, self.end)
        lines = list(islice(self._lines, low - self.first, max(low, high) - self.first))
        return (
            f"{f'{prefix[0]:<16} | ' if prefix else ''}{text}\n".encode(errors="replace")
            for text, prefix in lines
        )
