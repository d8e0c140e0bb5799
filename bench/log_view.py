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
KEY_SECONDS = 0.05
ECHO = re.compile(rb"ECHO(\d+)@")
WITHIN = 60.0


@dataclass
class Watched:
    """What one run looked like from the terminal."""

    lines_per_second: float = 0.0
    writer: float = 0.0
    echoes: list[float] = field(default_factory=list)
    lost: int = 0
    before: float = 0.0
    after: float = 0.0


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
        shown.drain(1.5)
        found.before = shown.rss_mib()
        go(child)
        found.lines_per_second = lines / follow(shown, found)
        found.writer = report(child)
        shown.drain(1.5)
        found.after = shown.rss_mib()
    for file in (run.log_path, run.events_path):
        file.unlink()
    return found


def follow(shown: Terminal, found: Watched) -> float:
    """Press a key every now and then until the last line is on the screen; the seconds until then."""
    begun = time.perf_counter()
    sent: list[float] = []
    seen, done, tail = 0, 0.0, b""
    next_key = begun + KEY_SECONDS
    while True:
        now = time.perf_counter()
        if not shown.alive or now - begun > WITHIN:
            state = "still runs" if shown.alive else "has ended"
            raise RuntimeError(f"the last line was not shown within {WITHIN:g} s; the screen {state}")
        if done and (seen == len(sent) or now - done > 2):
            break
        if not done and now >= next_key:
            shown.send(KEY.encode())
            sent.append(time.perf_counter())
            next_key = max(next_key + KEY_SECONDS, now)
        chunk = shown.pump(0.01)
        shown.out.clear()
        if not chunk:
            continue
        arrived = time.perf_counter()
        text = plain(tail + chunk)
        tail = chunk[-400:]
        newest = min(max((int(count) for count in ECHO.findall(text)), default=0), len(sent))
        if newest > seen:
            found.echoes += [arrived - sent[index] for index in range(seen, newest)]
            seen = newest
        if not done and LAST.encode() in text:
            done = arrived
    found.lost = len(sent) - seen
    return done - begun


def echo_row(what: str, runs: list[Watched], budget: float) -> Row:
    echoes = [value * 1000 for run in runs for value in run.echoes]
    lost = sum(run.lost for run in runs)
    if not echoes:
        raise RuntimeError(f"{what}: none of {lost} keys was ever echoed")
    note = f"{lost} keys were never echoed" if lost else ""
    # A key that was never echoed waited longer than any other.
    waited = percentile([*echoes, *[float("inf")] * lost], 99)
    return Row(
        f"{what}: key to echo, p99 of {len(echoes)}",
        f"p50 {number(percentile(echoes, 50))} ms, max {number(max(echoes))} ms",
        "-",
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
