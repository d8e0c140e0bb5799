"""A build that floods its log, through a run of ours: how long it takes, and what the run screen makes of it.

The release's own build step, in a process of its own as every run is, builds from a commit of a small checkout on the
engine at hand. The yardstick is the very same command with its output sent to a file, after the same export.

unclipped   The build, and then 200,000 lines in four bursts of 250,000 lines a second (`bench/builder.py`): more than
            the BuildKit of Docker 20.10 gets out (`bench/build_log.py` has what that does).
flat out    Those lines in one burst, with the run screen on a real terminal watching and a key pressed every 50 ms.

Needs an engine and a static busybox.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.builder import PAUSE, RATE
from bench.ground import engine
from bench.log_view import Keys, Watched, echo_row, follow
from bench.log_writer import FIRST, LAST
from bench.measure import ROOT, Context, NotMeasured, Row, ratio_row, seconds, spread, take_turns
from bench.ptykit import terminal
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.core.events import RunEnded, StepEnded
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.ops_build import build_command
from tests.support.engine import Engine
from tests.support.git_server import checkout, commit, git

LINES, BURSTS = 200_000, 4
RATIO, SPEED, ECHO, GROWTH = 1.1, 100_000, 150, 40
"""The budgets: build / build, lines a second, ms from key to echo, MiB."""
WITHIN = 120.0
NUMBERED = re.compile(r"^#9 [0-9.]+ \d{9} ", re.MULTILINE)
WORDS = "step output: resolving, fetching, unpacking and configuring what was asked for"
# ROUND is new each time: what the builder has in its cache takes no time and prints nothing.
DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ARG ROUND
LABEL round=$ROUND
"""


@dataclass
class Ground:
    """A checkout, the engine, a directory for runs, and a PATH on which the builder that floods comes first."""

    engine: Engine
    tree: Path
    sha: str
    directory: Path
    stand_in: Path
    rounds: Iterator[int] = field(default_factory=count)
    step_seconds: float = 0.0

    def _params(self) -> dict[str, object]:
        return {
            "checkout": str(self.tree),
            "sha": self.sha,
            "version": "v0.4.0",
            "created": "2026-01-01T00:00:00Z",
            "dockerfile": "Dockerfile",
            "arguments": {"ROUND": f"{self.engine.session}-{next(self.rounds)}"},
            "labels": dict([self.engine.label.split("=")]),
        }

    def new_run(self, *, gate: Path | None = None) -> RunDir:
        """A run of the build step; with `gate` it waits until that file is there."""
        steps = [Step("build-image", "Build the image", "build-image", self._params())]
        if gate is not None:
            script = {"script": f"until [ -e {gate} ]; do sleep 0.02; done", "env": {}, "secrets": []}
            steps.insert(0, Step("gate", "Wait to be watched", "script", script))
        where, endpoint = str(self.directory), self.engine.endpoint
        return create_run(
            Instance.at(self.directory), Plan("formula", "Build", where, "bench", endpoint, tuple(steps))
        )

    def floods(self, bursts: int) -> None:
        """How the stand-in prints from now on."""
        told = {"docker": shutil.which("docker"), "lines": str(self.stand_in / "lines"), "bursts": bursts}
        (self.stand_in / "builder.json").write_text(json.dumps({**told, "first": FIRST, "last": LAST}))

    def environment(self) -> dict[str, str]:
        """The builder that floods comes first."""
        path = f"{self.stand_in}:{os.environ['PATH']}"
        return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}

    def start(self, run: RunDir) -> subprocess.Popen[bytes]:
        """The run's own process, as `launch` starts it."""
        argv = [sys.executable, "-m", "disinto_tui.runs.process", str(run.path)]
        with (run.path / "stderr").open("wb") as err:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
                env=self.environment(),
                start_new_session=True,
            )

    def ours(self) -> float:
        """Seconds of the run's whole process, from its start to its end."""
        run = self.new_run()
        took = seconds(lambda: _finish(self.start(run)))
        _good(run)
        self.step_seconds = next(item.seconds for item in run.events() if isinstance(item, StepEnded))
        shutil.rmtree(run.path)
        return took

    def to_a_file(self) -> float:
        """Seconds of exporting the commit and of the same command, its output sent to a file."""
        place = self.directory / "by-hand"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        identity = self.directory / "by-hand.id"
        command = build_command(self._params(), place, identity, self.engine.endpoint)
        env = {**self.environment(), **(command.env or {}), "PATH": self.environment()["PATH"]}
        script = 'git -C "$1" archive "$2" | tar -x -C "$3"; shift 3; exec "$@"'
        argv = ["sh", "-euc", script, "sh", str(self.tree), self.sha, str(place), *command.argv]
        return self._printed(argv, env)

    def _printed(self, argv: Sequence[str], env: Mapping[str, str]) -> float:
        log = self.directory / "printed"
        begun = time.perf_counter()
        with log.open("wb") as out:
            code = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, env=env
            ).returncode
        took = time.perf_counter() - begun
        _whole(log.read_text())
        if code:
            raise RuntimeError(f"the builder ended with {code}: {log.read_text()[-200:].strip()}")
        return took

    def watched(self) -> Watched:
        """One build, flat out, with the run screen watching and a key pressed every 50 ms."""
        found, gate = Watched(), self.directory / f"gate-{next(self.rounds)}"
        run = self.new_run(gate=gate)
        process = self.start(run)
        try:
            argv = [sys.executable, str(ROOT / "bench" / "run_view.py"), str(run.path)]
            env = {"XDG_CONFIG_HOME": str(self.directory / "no-settings")}
            with terminal(argv, env=env, cwd=self.directory) as shown:
                shown.wait_for("gate", "build-image", within=30)
                shown.drain(1)
                found.before = shown.rss_mib()
                gate.touch()
                shown.wait_for(FIRST, within=WITHIN)
                keys = Keys(shown)
                # The pause before the burst is the log at rest.
                found.lines_per_second = LINES / max(0.001, follow(shown, keys) - PAUSE)
                at_rest = int(PAUSE / 0.05) - 2
                found.still, found.echoes, found.lost = keys.waits[:at_rest], keys.waits[at_rest:], keys.lost
                _finish(process)
                shown.drain(1)
                found.after = shown.rss_mib()
        finally:
            if process.poll() is None:
                process.kill()
        _good(run)
        shutil.rmtree(run.path)
        return found


def _finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait(WITHIN):
        raise RuntimeError(f"the run's process ended with {process.returncode}")


def _good(run: RunDir) -> None:
    last = run.events()[-1]
    if not isinstance(last, RunEnded) or last.state != "done":
        raise RuntimeError(f"the run did not end well: {run.log_path.read_text()[-800:]}")
    _whole(run.log_path.read_text())


def _whole(log: str) -> None:
    """Raise RuntimeError when a line is missing: a log that was cut would be quick for everybody."""
    have = len(NUMBERED.findall(log))
    if have != LINES or "[output clipped" in log:
        raise RuntimeError(f"the log has {have:,} of {LINES:,} lines: {log.strip()[-200:]}")


def ground(found: Engine, base: Path, busybox: str) -> Ground:
    tree = checkout(base / "tree")
    shutil.copy(busybox, tree / "busybox")
    commit(tree, {"Dockerfile": DOCKERFILE})
    instance, stand_in = base / "instance", base / "bin"
    instance.mkdir()
    stand_in.mkdir()
    program = stand_in / "docker"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {ROOT}/bench/builder.py {stand_in} "$@"\n')
    program.chmod(0o755)
    lines = (f"#9 {number / LINES:.3f} {number:09d} {WORDS}\n" for number in range(LINES))
    (stand_in / "lines").write_text("".join(lines))
    return Ground(found, tree, git(tree, "rev-parse", "HEAD"), instance, stand_in)


def rows(one: Ground, rounds: int) -> Iterator[Row]:
    one.floods(BURSTS)
    steps: list[float] = []

    def ours() -> float:
        took = one.ours()
        steps.append(one.step_seconds)
        return took

    took = take_turns(rounds, {"ours": ours, "file": one.to_a_file})
    what, name = f"a build that prints {LINES:,} lines in bursts", "its output to a file"
    yield ratio_row(f"{what}, as a run", took["ours"], took["file"], name, RATIO)
    yield ratio_row(f"{what}, its step", steps[1:], took["file"], name)
    one.floods(1)
    seen = [one.watched() for _ in range(rounds)]
    speeds = spread(run.lines_per_second for run in seen)
    yield Row(
        "a build flat out, on the run screen: lines/s",
        speeds.text("lines/s"),
        f"the builder's burst: {RATE:,} lines/s",
        speeds.median,
        SPEED,
        at_least=True,
    )
    yield echo_row("a build flat out", seen, ECHO)
    growth = spread(run.after - run.before for run in seen)
    yield Row(
        "a build flat out: the screen's RSS",
        growth.text("MiB"),
        f"before {spread(run.before for run in seen).text('MiB')}",
        growth.median,
        GROWTH,
        unit="MiB",
    )


def measure(context: Context) -> Iterator[Row]:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise NotMeasured("there is no busybox (docker/engine/up.sh busybox-static)")
    base = context.directory / "flood"
    base.mkdir()
    with engine() as found:
        try:
            yield from rows(ground(found, base, busybox), context.rounds)
        finally:
            found.sweep()
