"""The runs that `pictures.py` shows: their journals, written here as a run's own process would have written them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, create_run
from disinto_tui.adapters.process import boot_id, process_start
from disinto_tui.core.events import Progress, RunEnded, RunStarted, StepEnded, StepStarted
from disinto_tui.core.plan import Plan, Step
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.run import RunScreen
from tests.tui import release_support

NOW = 1_795_500_000.0
AGENTS = "ghcr.io/disinto/agents"
ENGINE = "unix:///var/run/docker.sock"


class Journal:
    """A run that is written here, in a directory of its own; its process is this one until it ends."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.run = create_run(Instance.at(directory), plan)
        self.writer = JournalWriter(self.run)
        self.at = NOW
        pid = os.getpid()
        self.writer.write(RunStarted(self.at, "r", pid, process_start(pid), boot_id()))

    def step(self, name: str, seconds: float, *lines: str, state: str = "done", reason: str = "") -> None:
        self.begin(name, *lines)
        self.finish(name, seconds, state, reason)

    def finish(self, name: str, seconds: float, state: str = "done", reason: str = "") -> None:
        self.at += seconds
        self.writer.write(StepEnded(self.at, name, state, seconds, reason))  # type: ignore[arg-type]

    def begin(self, name: str, *lines: str) -> None:
        self.writer.write(StepStarted(self.at, name))
        self.writer.lines(name, lines)

    def end(self, state: str, code: int, **more: Any) -> None:
        self.writer.write(RunEnded(self.at, state, code, **more))  # type: ignore[arg-type]


def run(make: Callable[[Path], Journal], after: float = 0.0) -> Callable[[Path], DisintoApp]:
    def app(directory: Path) -> DisintoApp:
        journal = make(directory)
        screen = lambda: RunScreen(journal.run, pid=os.getpid(), clock=lambda: journal.at + after)  # noqa: E731
        return DisintoApp(Instance.at(directory), config=directory / "settings", first=screen)

    return app


_SWITCH_STEPS = (
    ("same", "Look whether the tag still means that image", "same-tag"),
    ("pull", "Pull the image", "pull"),
    ("keep", "Keep the present image", "keep-image"),
    ("pin", "Write the pin", "files"),
    ("recreate", "Recreate", "recreate"),
    ("watch", "Watch their health", "watch-switch"),
    ("record", "Keep it as known good", "record-good"),
)


def switch_back(directory: Path) -> Journal:
    """Recorded from a switch to a version that ends by itself after two turns; names and digests apart."""
    plan = Plan(
        "switch",
        "Switch acme from v0.3.0 to v0.4.1",
        str(directory),
        "acme",
        ENGINE,
        tuple(Step(name, title, op) for name, title, op in _SWITCH_STEPS),
        undo="back to v0.3.0, works offline",
        on_failure="undo",
    )
    up = tuple(f" Container acme-agents  {word}" for word in ("Recreate", "Recreated", "Starting", "Started"))
    journal = Journal(directory, plan)
    journal.step("same", 0.0)
    journal.step("pull", 9.4, f"pulling {AGENTS}@sha256:3d0c50dd45a849941472d6fd5a211897", _PULLED)
    journal.step("keep", 0.1, "kept as disinto-kept/acme:v0.3.0-8bbc4812eb66")
    journal.step("pin", 0.1, "wrote .env")
    journal.step("recreate", 2.8, *up)
    why = "It restarts in a loop (1 time, last exit code 1)."
    journal.step(
        "watch",
        3.4,
        "agents: starting",
        "agents | 20:52:50Z FATAL: told to crash after two turns",
        "agents: restarts in a loop (1 time, last exit code 1)",
        state="failed",
        reason=f"agents did not come up. {why}",
    )
    journal.step("watch", 0.0, state="undone")
    journal.step("recreate", 4.2, *up, "agents: starting", "agents: healthy", state="undone")
    for name in ("pin", "keep", "pull", "same"):
        journal.step(name, 0.0, state="undone")
    error = {
        "code": "service.unhealthy",
        "what": "agents did not come up.",
        "why": why,
        "now": "Nothing to do: it goes back to the previous version by itself.",
        "details": ["agents: 20:52:50Z FATAL: told to crash after two turns"],
        "exit_code": 1,
    }
    journal.end("undone", 1, error=error)
    return journal


_PULLED = f"{AGENTS}:v0.4.1: Status: Downloaded newer image"


def releasing(directory: Path) -> Journal:
    made = release_support.plan(directory)
    journal = Journal(directory, replace(made, title=f"Release v0.4.0 of {AGENTS}"))
    journal.step(
        "preflight",
        1.8,
        "✓ branch         main is checked out.",
        "✓ tag            There is no tag v0.4.0 yet.",
    )
    journal.step("tag-main", 0.4, f"v0.4.0 is {HEAD}")
    journal.begin("push-mirrors", "✓ github: pushed to github.com", "✓ codeberg: pushed to codeberg.org")
    for name in ("github", "codeberg"):
        journal.writer.write(Progress(journal.at, "push-mirrors", name, 1, 1, "pushed", ""))
    journal.finish("push-mirrors", 8.7)
    journal.begin(
        "build-image",
        f"exported {HEAD}",
        "#12 [6/9] RUN npm install -g @anthropic-ai/claude-code",
        "#12 31.2 added 214 packages in 28s",
        "#12 DONE 33.0s",
        "#13 [7/9] COPY . /home/agent/disinto",
        "#13 DONE 0.4s",
        "#14 [8/9] RUN chmod +x /entrypoint.sh",
    )
    journal.writer.write(
        Progress(journal.at, "build-image", "", 8, 9, "RUN chmod +x /entrypoint.sh", "steps")
    )
    return journal


HEAD = "7c1e0aa4b2d9f05c7e1188a0b3c4d5e6f7081920"
