"""The app in a real terminal: it paints, it leaves the terminal as it was, it minds NO_COLOR, runs outlive it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from bench.ptykit import Terminal, terminal
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import create_run
from disinto_tui.adapters.version_cache import VersionCache
from disinto_tui.runs.runner import execute
from tests.runs.test_runner import OPS, plan, touch
from tests.support.processes import poll

ROOT = Path(__file__).resolve().parents[2]
DISINTO = [sys.executable, "-m", "disinto_tui"]


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "settings"),
        "PYTHONPATH": str(ROOT),
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        **more,
    }


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """An instance with a finished run and no engine to ask."""
    directory = tmp_path / "factory"
    directory.mkdir()
    made = Instance.at(directory)
    run = create_run(made, plan(directory, touch("first", say=["hello from the run"])))
    asyncio.run(execute(run, made, OPS))
    return directory


def ended(shown: Terminal, seconds: float = 10) -> int | None:
    """The exit status, None when it does not end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(shown.pid, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        shown.pump(0.05)
    return None


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 60)])
def test_home_in_a_terminal_and_q_leaves_it_as_it_was(instance: Path, columns: int, rows: int) -> None:
    argv = [*DISINTO, "--dir", str(instance)]
    with terminal(argv, env=environment(instance), columns=columns, rows=rows, cwd=instance) as shown:
        shown.wait_for("disinto", "quit", "Make it", within=120)
        shown.send(b"q")
        assert ended(shown) == 0
        data = bytes(shown.out)
    assert data.count(b"\x1b[?1049h") == data.count(b"\x1b[?1049l") == 1
    assert b"\x1b[?25h" in data[data.rindex(b"\x1b[?1049l") - 40 :]


def test_no_color_paints_no_colour(instance: Path) -> None:
    argv = [*DISINTO, "--dir", str(instance)]
    with terminal(argv, env=environment(instance, NO_COLOR="1"), cwd=instance) as shown:
        shown.wait_for("disinto", "quit", "Make it", within=120)
        data = bytes(shown.out)
    colours = re.findall(rb"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|9[0-7]|38;[25]|48;[25])[0-9;]*m", data)
    assert colours == []


def test_enter_on_a_run_shows_its_log_and_esc_leads_back(instance: Path) -> None:
    argv = [*DISINTO, "--dir", str(instance)]
    with terminal(argv, env=environment(instance), columns=100, rows=30, cwd=instance) as shown:
        shown.wait_for("Make it", "quit", within=120)
        shown.send(b"\t")
        shown.drain(0.3)
        shown.send(b"\r")
        shown.wait_for("hello from the run", "done after", within=120)
        shown.out.clear()
        shown.send(b"\x1b")
        shown.wait_for("RECENT", within=120)


def test_versions_are_there_without_a_network_and_keys_filter_them(instance: Path) -> None:
    """From Home to the list as last heard, through the filter, and back."""
    repository = "registry.invalid/disinto/agents"
    (instance / "docker-compose.yml").write_text("services: {}\n")
    (instance / ".env").write_text(f"AGENTS_IMAGE={repository}:v0.5.3\n")
    tags = [f"v0.{minor}.{patch}" for minor in range(9, -1, -1) for patch in range(9, -1, -1)]
    VersionCache(Instance.at(instance), repository).put_listing(tags, time.time() - 7200, ["v0.5.3"], [])
    argv = [*DISINTO, "--dir", str(instance)]
    with terminal(argv, env=environment(instance), columns=80, rows=24, cwd=instance) as shown:
        shown.wait_for("v versions", "quit", within=120)
        shown.send(b"v")
        shown.wait_for(f"Versions of {repository}", "v0.5.3", "offline, of 2 h ago", "details", within=120)
        shown.send(b"/0.7.")
        shown.wait_for("10 of 100 match", within=120)
        shown.out.clear()
        shown.send(b"\x1b")
        shown.wait_for("more", "details", within=120)
        shown.out.clear()
        shown.send(b"\x1b")
        shown.wait_for("RECENT", within=120)
        shown.send(b"q")
        assert ended(shown) == 0


def test_a_terminal_that_goes_away_ends_the_app_and_not_the_run(instance: Path, tmp_path: Path) -> None:
    """The app is hung up on while it watches a run; the run's process goes on to its end."""
    made = Instance.at(instance)
    run = create_run(made, plan(instance, touch("slow", wait=3, say=["it went on"])))
    code = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from disinto_tui.adapters.instance import Instance\n"
        "from disinto_tui.adapters.journal import RunDir\n"
        "from disinto_tui.runs.runner import execute\n"
        "from disinto_tui.adapters.process import spawn_detached\n"
        "from tests.runs.test_runner import OPS\n"
        "run = RunDir(Path(sys.argv[1]))\n"
        "if len(sys.argv) > 2:\n"
        "    sys.exit(asyncio.run(execute(run, Instance.at(run.path.parents[2]), OPS)))\n"
        "pid = spawn_detached([sys.executable, '-c', os.environ['CODE'], sys.argv[1], 'run'],"
        " stderr_to=run.path / 'stderr', private={}, cwd=str(run.path))\n"
        "from disinto_tui.tui import screens\n"
        "from disinto_tui.tui.app import DisintoApp\n"
        "import signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "DisintoApp(Instance.at(run.path.parents[2]), first=lambda: screens.run_screen(run, pid)).run()\n"
    )
    argv = [sys.executable, "-c", code, str(run.path)]
    with terminal(argv, env=environment(instance, CODE=code), cwd=instance) as shown:
        shown.wait_for("slow", "running", within=120)
        os.kill(shown.pid, signal.SIGHUP)
        assert ended(shown) == -signal.SIGHUP
    assert poll(120, lambda: b'"run_ended"' in run.events_path.read_bytes())
    assert b"it went on" in run.log_path.read_bytes()
    assert (instance / "slow").exists()
