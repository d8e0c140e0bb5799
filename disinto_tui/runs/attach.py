"""Follow a run from its directory: live, late, or long after it is over.

Reads what `journal.JournalWriter` appends, in the order it happened: lines up to an event's `log_at`, then
the event. Nothing here talks to the run's process, so any number of readers can come and go.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from disinto_tui.adapters.journal import RunDir
from disinto_tui.adapters.process import is_alive, process_start
from disinto_tui.core.events import (
    Event,
    JournalEvent,
    Lines,
    RunEnded,
    RunStarted,
    StepStarted,
    event_from_json,
)

POLL_SECONDS = 0.05
_BLOCK = 1 << 20


class RunReader:
    """Reads a run's two files in step. `lines` False leaves the log to somebody who reads it directly."""

    def __init__(self, run: RunDir, *, lines: bool = True) -> None:
        self.run = run
        self._with_lines = lines
        self._events_at = 0
        self._log_at = 0
        self._step = ""
        self._started: RunStarted | None = None
        self._over = False

    def read(self) -> list[Event]:
        """Everything new since the last call, in order; [] when there is nothing."""
        found: list[Event] = []
        for event in self._new_events():
            if self._with_lines:
                found.extend(self._lines_until(event.log_at))
            if isinstance(event, StepStarted):
                self._step = event.step
            elif isinstance(event, RunStarted):
                self._started, self._over = event, False
            elif isinstance(event, RunEnded):
                self._over = True
            found.append(event)
        if self._with_lines:
            found.extend(self._lines_until(None))
        return found

    def ended(self, pid: int | None = None) -> bool:
        """Whether the last process to work on it (or the process `pid`) has said the run is over."""
        mine = pid is None or (self._started is not None and self._started.pid == pid)
        return self._over and mine

    def gone(self, pid: int | None = None) -> bool:
        """Whether the process that should be working on it no longer lives."""
        started = self._started
        if started is None or (pid is not None and started.pid != pid):
            return pid is not None and process_start(pid) == 0.0
        return not is_alive(started.pid, started.process_start, started.boot_id)

    def _new_events(self) -> list[JournalEvent]:
        data = _read_from(self.run.events_path, self._events_at)
        end = data.rfind(b"\n") + 1
        self._events_at += end
        events: list[JournalEvent] = []
        for line in data[:end].split(b"\n"):
            with contextlib.suppress(ValueError):
                event = event_from_json(json.loads(line))
                if not isinstance(event, Lines):
                    events.append(event)
        return events

    def _lines_until(self, limit: int | None) -> list[Lines]:
        batches: list[Lines] = []
        while limit is None or self._log_at < limit:
            size = _BLOCK if limit is None else min(_BLOCK, limit - self._log_at)
            data = _read_from(self.run.log_path, self._log_at, size)
            end = data.rfind(b"\n") + 1
            if end == 0:
                break
            texts = data[: end - 1].decode(errors="replace").split("\n")
            batches.append(Lines(self._step, self._log_at, tuple(texts)))
            self._log_at += end
        return batches


def _read_from(path: Path, offset: int, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except FileNotFoundError:
        return b""


async def follow(run: RunDir, *, lines: bool = True, pid: int | None = None) -> AsyncIterator[list[Event]]:
    """Batches of events until the run has ended or its process is gone; replays from the start.

    The last event is `RunEnded` when the run came to an end; a run whose process died ends the stream
    without one. `pid` is the process just launched for it: an end that an earlier process journaled does
    not count, and a process that died before its first event ends the stream too.
    """
    reader = RunReader(run, lines=lines)
    while True:
        gone = reader.gone(pid)
        batch = reader.read()
        if batch:
            yield batch
        if reader.ended(pid) or (gone and not batch):
            return
        await asyncio.sleep(POLL_SECONDS)
