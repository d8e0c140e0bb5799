"""The log of a run under load: lines a second, how long a key waits meanwhile, and what a million lines cost.

The real run screen on a real terminal follows a run that another process journals. The yardstick is the same writer
with nobody watching.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.log_writer import FIRST, LAST, STEP
from bench.measure import ROOT, Context, NotMeasured, Row, number, spread
from bench.ptykit import Terminal, percentile, plain, terminal
from bench.run_view import KEY
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.core.plan import Plan, Step

LINES, PACED_LINES, PACE = 1_000_000, 80_000, 10_000
KEY_SECONDS, STILL_SECONDS = 0.05, 1.5
ECHO = re.compile(rb"ECHO(\d+)@")
WITHIN = 60.0


@dataclass
class Watched:
    """What one run looked like from the terminal. `still` are keys pressed before the flood, `echoes` within it."""

    lines_per_second: float = 0.0
    still: list[float] = field(default_factory=list)
    echoes: list[float] = field(default_factory=list)
    lost: int = 0
    before: float = 0.0
    after: float = 0.0


class Keys:
    """Presses a key now and then and finds the echoes in what is painted."""

    def __init__(self, shown: Terminal) -> None:
        self._shown = shown
        self._sent: list[float] = []
        self._tail = b""
        self._next = 0.0
        self.waits: list[float] = []

    @property
    def lost(self) -> int:
        """Keys without an echo so far."""
        return len(self._sent) - len(self.waits)

    def step(self, *, press: bool) -> tuple[bytes, float]:
        """Press a key when it is time, read for a moment; the text that came, and when."""
        now = time.perf_counter()
        if press and now >= self._next:
            self._shown.send(KEY.encode())
            self._sent.append(time.perf_counter())
            self._next = max(self._next + KEY_SECONDS, now)
        chunk = self._shown.pump(0.01)
        arrived = time.perf_counter()
        self._shown.out.clear()
        if not chunk:
            return b"", arrived
        text = plain(self._tail + chunk)
        self._tail = chunk[-400:]
        newest = max((int(count) for count in ECHO.findall(text)), default=0)
        self.waits += [arrived - sent for sent in self._sent[len(self.waits) : newest]]
        return text, arrived


@contextlib.contextmanager
def writing(run: RunDir, lines: int, rate: float) -> Iterator[subprocess.Popen[str]]:
    """The writer, with its first lines written; it goes on after a line to its standard input."""
    argv = [sys.executable, str(ROOT / "bench" / "log_writer.py"), str(run.path), str(lines), str(rate)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            if child.stdout.readline().strip() != "ready":
                raise RuntimeError("the writer did not start")
            yield child
        finally:
            child.kill()


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def report(child: subprocess.Popen[str]) -> float:
    """The writer's own lines a second."""
    assert child.stdout is not None
    said = json.loads(child.stdout.readline())
    return float(said["lines"] / said["seconds"])


def new_run(directory: Path) -> RunDir:
    plan = Plan("up", "Start the factory", str(directory), "bench", "", (Step(STEP, "Build", "build"),))
    return create_run(Instance.at(directory), plan)


def unwatched(directory: Path, lines: int) -> float:
    with writing(new_run(directory), lines, 0) as child:
        go(child)
        return report(child)


def watched(directory: Path, lines: int, rate: float) -> Watched:
    run, found = new_run(directory), Watched()
    argv = [sys.executable, str(ROOT / "bench" / "run_view.py"), str(run.path)]
    env = {"XDG_CONFIG_HOME": str(directory / "no-settings")}
    with writing(run, lines, rate) as child, terminal(argv, env=env, cwd=directory) as shown:
        shown.wait_for(FIRST, within=30)
        shown.drain(1)
        keys = Keys(shown)
        end = time.perf_counter() + STILL_SECONDS
        while time.perf_counter() < end or (keys.lost and time.perf_counter() < end + 2):
            keys.step(press=time.perf_counter() < end)
        found.still = list(keys.waits)
        found.before = shown.rss_mib()
        go(child)
        found.lines_per_second = lines / follow(shown, keys)
        found.echoes, found.lost = keys.waits[len(found.still) :], keys.lost
        report(child)
        shown.drain(1)
        found.after = shown.rss_mib()
    for file in (run.log_path, run.events_path):
        file.unlink()
    return found


def follow(shown: Terminal, keys: Keys) -> float:
    """Press a key every now and then until the last line is on the screen; the seconds until then."""
    begun, done = time.perf_counter(), 0.0
    while True:
        now = time.perf_counter()
        if not shown.alive or now - begun > WITHIN:
            state = "still runs" if shown.alive else "has ended"
            raise RuntimeError(f"the last line was not shown within {WITHIN:g} s; the screen {state}")
        if done and (not keys.lost or now - done > 2):
            return done - begun
        text, arrived = keys.step(press=not done)
        if not done and LAST.encode() in text:
            done = arrived


def echo_row(what: str, runs: list[Watched], budget: float) -> Row:
    echoes = [value * 1000 for run in runs for value in run.echoes]
    lost = sum(run.lost for run in runs)
    if not echoes:
        raise RuntimeError(f"{what}: none of {lost} keys was ever echoed")
    note = f"{lost} keys were never echoed" if lost else ""
    # A key that was never echoed waited longer than any other.
    waited = percentile([*echoes, *[float("inf")] * lost], 99)
    still = [value * 1000 for run in runs for value in run.still]
    return Row(
        f"{what}: key to echo, p99 of {len(echoes)}",
        f"p50 {number(percentile(echoes, 50))} ms, max {number(max(echoes))} ms",
        f"the log at rest: p50 {number(percentile(still, 50))} ms, max {number(max(still))} ms"
        if still
        else "-",
        waited,
        budget,
        unit="ms",
        note=note,
    )


def measure(context: Context) -> Iterator[Row]:
    if importlib.util.find_spec("disinto_tui.tui.screens.run") is None:
        raise NotMeasured("there is no run screen yet")
    directory = context.directory / "log"
    directory.mkdir()
    full: list[Watched] = []
    alone: list[float] = []
    for _ in range(context.rounds):
        full.append(watched(directory, LINES, 0))
        alone.append(unwatched(directory, LINES))
    speeds = spread(run.lines_per_second for run in full)
    yield Row(
        "run screen, flat out: lines/s",
        speeds.text("lines/s"),
        f"the writer alone {spread(alone).text('lines/s')}",
        speeds.median,
        100_000,
        at_least=True,
    )
    yield echo_row("run screen, flat out", full, 150)
    paced = [watched(directory, PACED_LINES, PACE)]
    yield echo_row(f"run screen, {paced[0].lines_per_second:,.0f} lines/s", paced, 100)
    growth = spread(run.after - run.before for run in full)
    yield Row(
        f"run screen: RSS for {LINES:,} lines",
        growth.text("MiB"),
        f"before {spread(run.before for run in full).text('MiB')}",
        growth.median,
        40,
        unit="MiB",
    )
