"""A build that prints 200,000 lines, through a run that somebody watches / the same build with its output in a file.

On an engine of its own whose builder clips nothing. Ours is the step `build-image` in a run's own process, as journaled
(and beside it the whole run, from its launch to its end), with the real run screen on a pseudo-terminal following it
and a key pressed every 50 ms; the yardstick is `docker build --progress=plain` of the same tree with its output sent
to a file, and nobody looking. Each build prints what no build printed before: what the builder has in its cache prints
nothing. It prints in bursts of 5,000 lines, a tenth of a second apart, which keeps the engine busy all the time: a
builder in the daemon that is pressed harder breaks the log off before its end (observed, 20.10), for either. Such a
build counts for nothing, and is made once more.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.log_view import Keys, Watched, echo_row
from bench.measure import ROOT, Context, NotMeasured, Row, ratio_row, seconds, take_turns
from bench.ptykit import terminal
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.core.events import RunEnded, StepEnded
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.launch import launch
from tests.support.git_server import checkout, commit, git
from tests.support.own_engine import OwnEngine, impossible, own_engine

LINES, BURST, PAUSE_US = 200_000, 5_000, 100_000
RATIO, ECHO_MS = 1.1, 150.0
UNCLIPPED = {"BUILDKIT_STEP_LOG_MAX_SPEED": "1073741824", "BUILDKIT_STEP_LOG_MAX_SIZE": "1073741824"}
"""Of the daemon. -1 cuts every line here: "log limit -1B reached" (observed, BuildKit of Docker 20.10)."""
WITHIN = 120.0
ATTEMPTS = 6


@dataclass
class Ground:
    """An engine, a git tree, an instance to journal in; `views` are what the terminal showed of each of our builds."""

    own: OwnEngine
    tree: Path
    directory: Path
    busybox: str
    views: list[Watched] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    """Seconds of each of our runs from its launch to its end: Python's start and the export of the commit with it."""

    def new_tree(self) -> str:
        """Commit a Dockerfile that prints what none printed before; the commit."""
        line = f'print n, "{secrets.token_hex(4)}, a line as builds print them"'
        pause = f'if (n % {BURST} == 0) {{ fflush(); system("usleep {PAUSE_US}") }}'
        program = f"BEGIN {{ while (n++ < {LINES}) {{ {line}; {pause} }} }}"
        run = json.dumps(["/bin/busybox", "awk", program])
        shell = 'RUN ["/bin/busybox", "--install", "-s", "/bin"]'  # for awk's system()
        dockerfile = f"FROM scratch\nCOPY busybox /bin/busybox\n{shell}\nRUN {run}\n"
        shutil.copy(self.busybox, self.tree / "busybox")
        return commit(self.tree, {"docker/agents/Dockerfile": dockerfile})

    def by_hand(self) -> float:
        """`docker build` with its output in a file; seconds."""
        self.new_tree()
        log = self.directory / "by-hand.log"
        argv = ["docker", "build", "--progress=plain", "-f", "docker/agents/Dockerfile", "."]
        env = {**os.environ, "DOCKER_HOST": self.own.endpoint, "DOCKER_BUILDKIT": "1"}

        def build() -> None:
            with log.open("wb") as out:
                subprocess.run(argv, cwd=self.tree, env=env, stdout=out, stderr=out, check=False)

        took = seconds(build)
        _whole(log)
        return took

    def ours(self) -> float:
        """The step of a release in a run of its own, watched; its seconds."""
        params = {
            "checkout": str(self.tree),
            "sha": self.new_tree(),
            "version": "v0.4.0",
            "created": "2026-11-24T10:00:00Z",
            "source": "",
        }
        steps = (Step("build-image", "Build the image", "build-image", params),)
        plan = Plan("formula", "Build", str(self.directory), "bench", self.own.endpoint, steps)
        run = create_run(Instance.at(self.directory), plan)
        argv = [sys.executable, str(ROOT / "bench" / "run_view.py"), str(run.path)]
        env = {"XDG_CONFIG_HOME": str(self.directory / "no-settings")}
        view = Watched()
        with terminal(argv, env=env, cwd=self.directory) as shown:
            shown.wait_for("build-image", within=30)
            shown.drain(1)
            keys = Keys(shown)
            began, at = time.time(), time.perf_counter()
            launch(run)
            ended, looked = None, at
            while ended is None or (keys.lost and time.perf_counter() - looked < 2):
                keys.step(press=ended is None)
                now = time.perf_counter()
                if ended is None and now - looked > 0.25:
                    looked, ended = now, _end(run)
                if now - at > WITHIN:
                    size = run.log_path.stat().st_size
                    raise RuntimeError(f"the build was not over within {WITHIN:g} s: {size:,} bytes of log")
            view.echoes, view.lost = list(keys.waits), keys.lost
        _whole(run.log_path)
        if ended.exit_code:
            raise RuntimeError(f"the build failed: {ended.error}")
        self.views.append(view)
        self.whole.append(ended.at - began)
        return next(event.seconds for event in run.events() if isinstance(event, StepEnded))


def _end(run: RunDir) -> RunEnded | None:
    return next((event for event in run.events() if isinstance(event, RunEnded)), None)


class BrokenOffError(Exception):
    """The builder did not hand out its whole log."""


def _whole_one(build: Callable[[], float]) -> float:
    for _ in range(ATTEMPTS):
        with contextlib.suppress(BrokenOffError):
            return build()
    raise NotMeasured(f"the engine's builder broke its log off {ATTEMPTS} times in a row")


def _whole(log: Path) -> None:
    """Raise BrokenOffError when lines are missing: then something else was measured."""
    found = sum(b", a line as builds print them" in line for line in log.read_bytes().splitlines())
    if found < LINES:
        raise BrokenOffError(f"{log.name} has {found:,} of {LINES:,} lines")


def measure(context: Context) -> Iterator[Row]:
    why = impossible()
    busybox = shutil.which("busybox")
    if why or busybox is None or shutil.which("git") is None:
        raise NotMeasured(why or "it needs git and a static busybox")
    directory = context.directory / "build"
    directory.mkdir()
    (directory / "docker-compose.yml").write_text("services: {}\n")
    with own_engine(secrets.token_hex(4), mib=2048, environment=UNCLIPPED) as own:
        ground = Ground(own, checkout(directory / "tree"), directory, busybox)
        git(ground.tree, "config", "gc.auto", "0")
        ways = {"ours": lambda: _whole_one(ground.ours), "by hand": lambda: _whole_one(ground.by_hand)}
        took = take_turns(context.rounds, ways)
    by_hand = "docker build > file"
    yield ratio_row(f"a build of {LINES:,} lines, watched", took["ours"], took["by hand"], by_hand, RATIO)
    whole = ground.whole[-len(took["ours"]) :]  # without those that only warmed up
    yield ratio_row("the same, from the run's launch to its end", whole, took["by hand"], by_hand)
    yield echo_row(f"run screen, a build of {LINES:,} lines", ground.views, ECHO_MS)
