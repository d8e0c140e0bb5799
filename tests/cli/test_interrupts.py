"""Ctrl-C while a run is watched: stop, abort, leave; the run is a process of its own throughout."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, RunDir, create_run
from disinto_tui.adapters.process import boot_id, process_start
from disinto_tui.cli.common import Session, watch_run
from disinto_tui.cli.output import Output
from disinto_tui.core.errors import ExitCode
from disinto_tui.core.events import RunEnded, RunStarted, StepStarted
from tests.runs.test_runner import plan, touch
from tests.support.factory import Cli


@pytest.fixture
def live(tmp_path: Path) -> tuple[RunDir, JournalWriter]:
    """A run under way, whose journal this test writes."""
    run = create_run(Instance.at(tmp_path), plan(tmp_path, touch("a")))
    writer = JournalWriter(run)
    writer.write(RunStarted(1.0, run.id, os.getpid(), process_start(os.getpid()), boot_id()))
    writer.write(StepStarted(1.0, "a"))
    return run, writer


async def until(ready: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def test_the_first_stops_the_second_aborts_the_third_leaves(
    live: tuple[RunDir, JournalWriter], capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = live
    watching = asyncio.create_task(watch_run(Session(".", Output(False, False)), run))
    await asyncio.sleep(0)
    ctrl_c()
    await until(run.cancel_asked)
    assert not run.abort_asked()
    ctrl_c()
    await until(run.abort_asked)
    assert not watching.done()
    ctrl_c()
    assert await asyncio.wait_for(watching, 10) == ExitCode.INTERRUPTED
    said = capsys.readouterr().err
    assert "Ctrl-C again aborts that, too." in said
    assert "Left running" in said


async def test_a_run_that_ends_as_asked_gives_its_own_code(live: tuple[RunDir, JournalWriter]) -> None:
    run, writer = live
    watching = asyncio.create_task(watch_run(Session(".", Output(False, False)), run))
    await asyncio.sleep(0)
    ctrl_c()
    await until(run.cancel_asked)
    writer.write(RunEnded(2.0, "cancelled", 130))
    assert await asyncio.wait_for(watching, 10) == ExitCode.INTERRUPTED


async def test_who_only_watches_leaves_at_once(live: tuple[RunDir, JournalWriter]) -> None:
    run, _ = live
    watching = asyncio.create_task(watch_run(Session(".", Output(False, False)), run, cancels=False))
    await asyncio.sleep(0)
    ctrl_c()
    assert await asyncio.wait_for(watching, 10) == ExitCode.INTERRUPTED
    assert not run.cancel_asked()


def test_a_run_that_was_started_elsewhere_is_stopped_by_its_name(
    live: tuple[RunDir, JournalWriter], tmp_path: Path
) -> None:
    run, writer = live
    cli = Cli(tmp_path, tmp_path)
    said = cli("runs", "--stop", run.id[:15])
    assert (said.code, run.cancel_asked(), run.abort_asked()) == (0, True, False)
    assert f"`disinto runs --abort {run.id}`" in said.err
    assert cli("runs", "--abort", run.id).code == 0
    assert run.abort_asked()
    writer.write(RunEnded(2.0, "cancelled", 130))
    said = cli("runs", "--stop", run.id)
    assert said.code == 2
    assert "is not running" in said.err
    run.log_path.write_text("what it said\n")
    assert cli("runs", "--log", run.id).out == "what it said\n"
    run.log_path.unlink()
    said = cli("runs", "--log", run.id)
    assert (said.code, "is not kept" in said.err) == (2, True)
