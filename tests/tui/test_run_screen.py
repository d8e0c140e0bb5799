"""The run screen on real runs: live, late, failed, died, resumed, taken back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, RunDir, create_run
from disinto_tui.adapters.process import boot_id, process_start
from disinto_tui.core.errors import Failed
from disinto_tui.core.events import Progress, RunEnded, RunStarted, StepEnded, StepStarted
from disinto_tui.core.plan import Plan
from disinto_tui.core.redact import Secret
from disinto_tui.runs.runner import execute
from disinto_tui.tui.log.view import LogView
from disinto_tui.tui.screens.run import RunScreen
from disinto_tui.tui.widgets.run_verdict import RunVerdict
from disinto_tui.tui.widgets.step_list import StepList
from tests.runs.test_runner import OPS, plan, touch
from tests.tui.support import app_on, burst, shows, until


def finished(directory: Path, made: Plan) -> RunDir:
    """A run that was executed to its end."""
    instance = Instance.at(directory)
    run = create_run(instance, made)
    asyncio.run(execute(run, instance, OPS))
    return run


class Live:
    """A run whose journal this test writes; its process is this one."""

    def __init__(self, run: RunDir, pid: int = 0) -> None:
        self.run = run
        self.writer = JournalWriter(run)
        self.at = 1000.0
        pid = pid or os.getpid()
        self.writer.write(RunStarted(self.at, run.id, pid, process_start(pid), boot_id()))

    def step(self, name: str, *lines: str) -> None:
        self.writer.write(StepStarted(self.at, name))
        self.writer.lines(name, lines)

    def done(self, name: str, seconds: float = 1.0) -> None:
        self.writer.write(StepEnded(self.at, name, "done", seconds))

    def end(self, **more: Any) -> None:
        self.writer.write(RunEnded(self.at + 9, "done", 0, **more))


@pytest.fixture
def two_steps(tmp_path: Path) -> RunDir:
    return create_run(Instance.at(tmp_path), plan(tmp_path, touch("first"), touch("second")))


async def test_a_run_is_watched_from_its_start_to_its_summary(tmp_path: Path, two_steps: RunDir) -> None:
    app = app_on(tmp_path, lambda: RunScreen(two_steps, pid=os.getpid(), clock=lambda: 1065.0))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "starting", "Nothing was printed yet", "· first", "· second"))
        live = Live(two_steps)
        live.step("first", "hello [b]there[/b]")
        await until(
            pilot, lambda: shows(pilot, "running 1:05", "safe to close", "▶ first", "hello [b]there[/b]")
        )
        live.writer.write(Progress(1001.0, "first", "image ab12", 30, 60, "Downloading"))
        await until(pilot, lambda: shows(pilot, "download ", "██", "░░"))
        live.done("first", 62)
        live.step("second", "more")
        await until(pilot, lambda: shows(pilot, "✓ first", "1:02", "▶ second", "more"))
        live.done("second")
        live.end(summary=("It is made.", "Next: look."))
        await until(pilot, lambda: shows(pilot, "done after 9 s", "It is made.", "Next: look."))
        assert not shows(pilot, "safe to close")


async def test_a_pull_shows_a_bar_for_each_layer_that_moves_and_counts_the_others(
    tmp_path: Path, two_steps: RunDir
) -> None:
    live = Live(two_steps)
    live.step("first")

    def layer(name: str, current: int, total: int, label: str, unit: str = "B") -> None:
        live.writer.write(Progress(1001.0, "first", f"agents {name}", current, total, label, unit))

    layer("a", 41_000_000, 41_000_000, "Downloading")
    layer("b", 12_300_000, 29_000_000, "Downloading")
    layer("c", 3_300_000, 130_000_000, "Downloading")
    layer("d", 0, 0, "Waiting")
    layer("e", 1, 1, "Already exists", "")
    app = app_on(tmp_path, lambda: RunScreen(two_steps, pid=os.getpid(), clock=lambda: 1065.0))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(
            pilot,
            lambda: shows(
                pilot,
                "   all      ██░░░░░  57 MB │",
                "   download ███░░░░  12 MB │",
                "   download ░░░░░░░ 3.3 MB │",
                "   1 waiting · 2 done",
            ),
        )
        layer("a", 1, 1, "Pull complete", "")  # what it weighed still counts
        layer("b", 0, 0, "Download complete")
        layer("c", 60_000_000, 130_000_000, "Extracting")
        await until(pilot, lambda: shows(pilot, "   all      ███████ 200 MB │", "   1 waiting · 3 done"))
        assert shows(pilot, "   extract  ███░░░░  60 MB │")


async def test_each_mirror_has_a_state_of_its_own_that_stays(tmp_path: Path, two_steps: RunDir) -> None:
    live = Live(two_steps)
    live.step("first")
    for name, done, label in (
        ("github", 1, "pushed"),
        ("codeberg", 1, "failed: it refused"),
        ("third", 0, "asking h"),
    ):
        live.writer.write(Progress(1001.0, "first", name, done, 1, label, ""))
    app = app_on(tmp_path, lambda: RunScreen(two_steps))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(
            pilot,
            lambda: shows(pilot, "   ✓ github  pushed", "   ✗ codeberg  failed: ", "   ▶ third  asking h"),
        )
        live.done("first")
        live.step("second")
        await until(pilot, lambda: shows(pilot, "▶ second", "   ✓ github  pushed", "   ✗ codeberg"))


async def test_attaching_late_shows_the_whole(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(500)]
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first", say=lines), touch("second")))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "✓ first", "✓ second", "500 lines", "line 499", "done after"))


def finished_in_thread(directory: Path, made: Plan) -> RunDir:
    """`finished` from inside a running loop."""
    import threading

    found: list[RunDir] = []
    thread = threading.Thread(target=lambda: found.append(finished(directory, made)))
    thread.start()
    thread.join()
    return found[0]


async def test_a_failure_says_why_marks_the_line_and_offers_what_helps(tmp_path: Path) -> None:

    say = ["fine", "Error: it is broken", "fine again"]
    steps = touch("first"), touch("second", say=say), touch("third", fail=True)
    run = finished_in_thread(tmp_path, plan(tmp_path, *steps))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(
            pilot, lambda: shows(pilot, "✗ third", "✗ It broke.", "It was told to.", "Tell it otherwise.")
        )
        await until(pilot, lambda: shows(pilot, "r retry third", "u take it back", "esc later"))
        await pilot.press("e")
        await until(pilot, lambda: shows(pilot, "▸Error: it is broken"))


async def test_the_line_that_says_why_is_in_sight_beside_the_verdict(tmp_path: Path) -> None:
    """The verdict takes its room from the log, and the marked line must not be what it covers."""
    run = create_run(Instance.at(tmp_path), plan(tmp_path, touch("first"), touch("second")))
    live = Live(run)
    live.step("first", *(f"fine {number}" for number in range(13)))
    live.done("first")
    live.step("second", "looking", "✗ one: it refused", "more", "and more")
    live.writer.write(StepEnded(live.at, "second", "failed", 1.0, "It refused."))
    error = Failed("One refused.", "a long reason " * 12, "Ask it why " * 10, code="test")
    live.writer.write(RunEnded(live.at + 1, "failed", 1, error=error.to_json()))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "✗ One refused.", "▸✗ one: it refused"))


async def test_resuming_launches_the_same_run_and_watches_it(tmp_path: Path) -> None:
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first"), touch("second", fail=True)))
    launched: list[tuple[str, bool]] = []
    child = subprocess.Popen(["sleep", "60"])

    def launcher(what: RunDir, *, undo: bool = False, secrets: Mapping[str, str] | None = None) -> int:
        launched.append((what.id, undo))
        return child.pid

    app = app_on(tmp_path, lambda: RunScreen(run), launcher=launcher)
    try:
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: shows(pilot, "✗ second"))
            await pilot.press("r")
            await until(pilot, lambda: launched == [(run.id, False)])
            live = Live(run, child.pid)
            live.step("second", "again")
            await until(pilot, lambda: shows(pilot, "▶ second", "again"))
            assert not pilot.app.query_one(RunVerdict).display
            live.done("second")
            live.end()
            await until(pilot, lambda: shows(pilot, "✓ second", "done after"))
    finally:
        child.kill()
        child.wait()


async def test_taking_back_asks_first_and_the_safe_answer_has_the_focus(tmp_path: Path) -> None:
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first"), touch("second", fail=True)))
    launched: list[bool] = []

    def launcher(what: RunDir, *, undo: bool = False, secrets: Mapping[str, str] | None = None) -> int:
        launched.append(undo)
        return 2**22  # no such process: it "died" at once

    app = app_on(tmp_path, lambda: RunScreen(run), launcher=launcher)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "✗ second"))
        await pilot.press("u")
        await until(pilot, lambda: shows(pilot, "Take back", "[ Leave it ]"))
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert launched == []
        await pilot.press("u")
        await until(pilot, lambda: shows(pilot, "[ Take it back ]"))
        await pilot.press("right", "enter")
        await until(pilot, lambda: launched == [True])


async def test_another_run_that_came_while_the_question_stood_there_is_seen(tmp_path: Path) -> None:
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first"), touch("second", fail=True)))
    launched: list[bool] = []

    def launcher(what: RunDir, *, undo: bool = False, secrets: Mapping[str, str] | None = None) -> int:
        launched.append(undo)
        return 2**22

    app = app_on(tmp_path, lambda: RunScreen(run), launcher=launcher)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "r retry second"))
        await pilot.press("u")
        await until(pilot, lambda: shows(pilot, "[ Take it back ]"))
        later = create_run(Instance.at(tmp_path), plan(tmp_path, touch("first")))
        later.path.rename(later.path.with_name(f"9{later.id[1:]}"))  # the names of runs sort by the second
        live = Live(RunDir(later.path.with_name(f"9{later.id[1:]}")))
        live.end()
        await pilot.press("right", "enter")
        await until(pilot, lambda: shows(pilot, "cannot be taken back any more"))
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1 and not shows(pilot, "r retry"))
        assert launched == []


async def test_a_run_whose_process_is_killed_while_it_is_watched(tmp_path: Path, two_steps: RunDir) -> None:
    child = subprocess.Popen(["sleep", "60"])
    live = Live(two_steps, child.pid)
    live.step("first", "at work")
    app = app_on(tmp_path, lambda: RunScreen(two_steps))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "▶ first", "at work"))
        child.send_signal(signal.SIGKILL)
        child.wait()
        await until(pilot, lambda: shows(pilot, "interrupted", "ended before it was done", "disinto resume"))
        await until(pilot, lambda: shows(pilot, "r go on", "esc later"))


async def test_an_older_run_that_failed_is_history(tmp_path: Path) -> None:
    old = finished_in_thread(tmp_path, plan(tmp_path, touch("first"), touch("second", fail=True)))
    time.sleep(1.01)  # the names of runs sort by the second
    finished_in_thread(tmp_path, plan(tmp_path, touch("first")))
    app = app_on(tmp_path, lambda: RunScreen(old))
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "✗ second", "It broke."))
        assert not shows(pilot, "retry")
        assert not shows(pilot, "take it back")


async def test_one_steps_log_alone_and_all_again(tmp_path: Path) -> None:
    steps = touch("first", say=["from the first"]), touch("second", say=["from the second"])
    run = finished_in_thread(tmp_path, plan(tmp_path, *steps))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "from the first", "from the second"))
        await pilot.press("shift+tab", "down", "down")
        await until(pilot, lambda: shows(pilot, "second alone") and not shows(pilot, "from the first"))
        await pilot.press("up")
        await until(pilot, lambda: shows(pilot, "first alone") and not shows(pilot, "from the second"))
        await pilot.press("enter")
        await until(pilot, lambda: app.query_one(LogView).has_focus)
        await pilot.press("a")
        await until(pilot, lambda: shows(pilot, "from the first", "from the second"))
        assert app.query_one(StepList).cursor == 0


async def test_stopping_asks_and_leaves_a_word_for_the_run(tmp_path: Path, two_steps: RunDir) -> None:
    live = Live(two_steps)
    live.step("first", "at work")
    app = app_on(tmp_path, lambda: RunScreen(two_steps))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "▶ first"))
        await pilot.press("x")
        await until(pilot, lambda: shows(pilot, "Stop it?", "[ Let it run ]  [ Stop it ]"))
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert not two_steps.cancel_asked()
        await pilot.press("x")
        await until(pilot, lambda: shows(pilot, "Stop it?"))
        await pilot.press("right", "enter")
        await until(pilot, two_steps.cancel_asked)
        assert not two_steps.abort_asked()
        # A second time it is to abort; the screen says what that means, and leaving it be is the safe answer.
        await until(pilot, lambda: shows(pilot, "Make it · stopping · running", "x abort"))
        await pilot.press("x")
        await until(pilot, lambda: shows(pilot, "Abort it in the middle", "first is being finished"))
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert not two_steps.abort_asked()
        await pilot.press("x")
        await until(pilot, lambda: shows(pilot, "Abort it in the middle"))
        await pilot.press("right", "enter")
        await until(pilot, two_steps.abort_asked)


async def test_a_step_that_is_looked_at_before_it_begins_shows_its_lines_and_no_others(
    tmp_path: Path, two_steps: RunDir
) -> None:
    live = Live(two_steps)
    live.step("first", "one", "two")
    app = app_on(tmp_path, lambda: RunScreen(two_steps))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "▶ first", "two"))
        await pilot.press("shift+tab", "down", "down")
        await until(pilot, lambda: shows(pilot, "second alone · 0 lines"))
        live.done("first")
        live.step("second", "mine")
        await until(pilot, lambda: shows(pilot, "second alone · 1 line ", "mine"))
        await pilot.press("up")
        await until(pilot, lambda: shows(pilot, "first alone · 2 lines") and not shows(pilot, "mine"))
        await pilot.press("slash", *"mine", "enter")  # nor is it found there
        await until(pilot, lambda: shows(pilot, "/mine  nothing found"))


async def test_the_steps_part_ends_where_the_next_step_begins(tmp_path: Path, two_steps: RunDir) -> None:
    live = Live(two_steps)
    live.step("first", "one")
    app = app_on(tmp_path, lambda: RunScreen(two_steps))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "▶ first", "one"))
        await pilot.press("shift+tab", "down")
        await until(pilot, lambda: shows(pilot, "first alone · 1 line "))
        await pilot.press("slash", *"e")
        await until(pilot, lambda: shows(pilot, "/e  1/1"))
        live.done("first")
        live.step("second", "there", "else")
        live.done("second")
        live.end()
        await until(pilot, lambda: shows(pilot, "done after", "first alone · 1 line ", "/e  1/1"))


async def test_the_logs_keys_work_from_the_list_of_steps_also_in_one_burst(tmp_path: Path) -> None:
    say = [f"new {number}" for number in range(200)]
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first", say=[*say, "x" * 200])))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "✓ first", "new 199"))
        await pilot.press("shift+tab")
        steps, view = app.query_one(StepList), app.query_one(LogView)
        await until(pilot, lambda: steps.has_focus)
        await until(pilot, lambda: shows(pilot, "f follow", "/ search", "w wrap"))
        await pilot.press("w", "pageup")
        await until(pilot, lambda: view.wrap and not view.following)
        assert steps.has_focus
        burst(app, "slash", *"new 77")
        await until(pilot, lambda: view.mark == 77)
        await pilot.press("enter", "n")
        await until(pilot, lambda: view.has_focus)
        # And from the log itself, where the key passes the pane and the screen on its way.
        burst(app, "slash", *"new 88")
        await until(pilot, lambda: view.mark == 88)
        await pilot.press("enter", "slash", *"new 99")
        await until(pilot, lambda: view.mark == 99)


async def test_a_run_that_is_begun_again_is_handed_its_secrets_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was typed in for it; else what its plan names, from where it is kept now; else as it was before."""
    made = replace(
        plan(tmp_path, touch("first"), touch("second", fail=True)), kind="formula", secrets=("PASS",)
    )
    run = finished_in_thread(tmp_path, made)
    handed: list[object] = []

    def launcher(what: RunDir, *, undo: bool = False, secrets: Mapping[str, str] | None = None) -> int:
        handed.append(secrets)
        return 2**22  # no such process: it "died" at once

    monkeypatch.setenv("PASS", "from-the-environment")
    app = app_on(tmp_path, lambda: RunScreen(run), launcher=launcher)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "r retry second"))
        await pilot.press("r")
        await until(pilot, lambda: handed == [{"PASS": "from-the-environment"}])
        await until(pilot, lambda: shows(pilot, "r retry second"))
        # The token was refused, and replaced where it is kept, while this was on the screen.
        monkeypatch.setenv("PASS", "the-new-one")
        await pilot.press("r")
        await until(pilot, lambda: handed[1:] == [{"PASS": "the-new-one"}])
        await until(pilot, lambda: shows(pilot, "r retry second"))
        monkeypatch.delenv("PASS")
        await pilot.press("r")
        await until(pilot, lambda: handed[2:] == [{"PASS": "the-new-one"}])
        await until(pilot, lambda: shows(pilot, "r retry second"))
        monkeypatch.setenv("PASS", "not-this-one")
        app.typed[run.id] = {"PASS": Secret("typed-in-here")}
        await pilot.press("r")
        await until(pilot, lambda: handed[3:] == [{"PASS": "typed-in-here"}])
