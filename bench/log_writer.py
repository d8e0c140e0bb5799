"""A run that prints: `log_writer.py RUN_DIRECTORY LINES RATE`, through the journal as every run writes it.

Some lines at once, so that there is something to see; the rest after a line on standard input, at RATE lines a second
(0: as fast as they can be written). Then it says on standard output how long that took, and waits until standard
input is closed: the run is still under way for whoever watches it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from disinto_tui.adapters.journal import JournalWriter, RunDir  # noqa: E402
from disinto_tui.adapters.process import boot_id, process_start  # noqa: E402
from disinto_tui.core.events import Progress, RunStarted, StepStarted  # noqa: E402

STEP = "build"
FIRST, LAST = "first-line-of-the-log", "last-line-of-the-log"
BATCH = 500
WORDS = (
    "step output: resolving, fetching, unpacking and configuring what was asked for, one after the other; "
    * 2
)
PROGRESS_SECONDS = 0.1


def text(number: int) -> str:
    """A line of some hundred characters, no two alike."""
    return f"2026-01-01T00:00:{number % 60:02d}Z INFO agent-{number % 9} {number:09d} {WORDS[: 40 + number % 50]}"


def flood(writer: JournalWriter, count: int, rate: float) -> float:
    """Print so many lines; the seconds it took."""
    begun = told = time.monotonic()
    done = 0
    while done < count:
        now = time.monotonic()
        due = min(BATCH, count - done) if not rate else min(int((now - begun) * rate), count) - done
        if due <= 0:
            time.sleep(0.005)
            continue
        writer.lines(STEP, [text(number) for number in range(done, done + due)])
        done += due
        if now - told > PROGRESS_SECONDS:
            told = now
            writer.write(Progress(time.time(), STEP, "lines", done, count, unit=""))
    return time.monotonic() - begun


def main() -> None:
    run, count, rate = RunDir(Path(sys.argv[1])), int(sys.argv[2]), float(sys.argv[3])
    writer = JournalWriter(run)
    pid = os.getpid()
    writer.write(RunStarted(time.time(), run.id, pid, process_start(pid), boot_id()))
    writer.write(StepStarted(time.time(), STEP))
    writer.lines(STEP, [*(text(number) for number in range(20)), FIRST])
    print("ready", flush=True)
    if not sys.stdin.readline():
        return
    took = flood(writer, count, rate)
    writer.lines(STEP, [LAST])
    print(json.dumps({"lines": count, "seconds": took}), flush=True)
    sys.stdin.read()
    writer.close()


if __name__ == "__main__":
    main()
