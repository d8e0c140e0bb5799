"""Any plan: in order, journaled, resumable, undoable, redacted. Operations here act on real files."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run, run_status, step_states
from disinto_tui.core.errors import ExitCode, Failed
from disinto_tui.core.events import Event, Lines, RunEnded, StepEnded, StepStarted
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.attach import RunReader, follow
from disinto_tui.runs.runner import Context, execute


class Touch:
    """Makes a file; the check is the file itself."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        return "there" if (ctx.instance.path / params["file"]).exists() else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        if params.get("fail"):
            raise Failed("It broke.", "It was told to.", "Tell it otherwise.", code="test")
        if params.get("crash"):
            raise RuntimeError(f"unforeseen {params['crash']}")
        if params.get("wait"):
            await asyncio.sleep(params["wait"])
        ctx.say(*params.get("say", ()))
        (ctx.instance.path / params["file"]).touch()
        return {params["file"]: True}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        if params.get("stuck"):
            raise Failed("It does not come off.", "It is glued.", "Scrape it off.", code="test.glue")
        (ctx.instance.path / params["file"]).unlink(missing_ok=True)
        return None


OPS = {"touch": Touch()}


def plan(directory: Path, *steps: Step, **more: Any) -> Plan:
    return Plan("init", "Make it", str(directory), "p", "unix:///s", steps, **more)


def touch(name: str, **params: Any) -> Step:
    atomic = bool(params.pop("atomic", False))
    return Step(name, name.title(), "touch", {"file": name, **params}, atomic=atomic)


def states(run: RunDir) -> dict[str, str]:
    return step_states(run.events())


async def test_steps_run_in_order_and_say_so(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    run = create_run(
        instance, plan(tmp_path, touch("a", say=["hello"]), touch("b"), facts={"summary": ["made"]})
    )
    seen: list[Event] = []
    assert await execute(run, instance, OPS, listener=seen.append) == ExitCode.DONE
    kinds = [event.kind for event in seen]
    assert kinds == [
        "run_started",
        "step_started",
        "lines",
        "step_ended",
        "step_started",
        "step_ended",
        "run_ended",
    ]
    ended = seen[-1]
    assert isinstance(ended, RunEnded)
    assert ended.summary == ("made",)
    assert ended.result == {"a": True, "b": True}
    assert RunReader(run).read() == seen


async def test_a_failed_step_keeps_what_is_done_and_resume_goes_on(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    run = create_run(instance, plan(tmp_path, touch("a"), touch("b", fail=True), touch("c")))
    assert await execute(run, instance, OPS) == ExitCode.FAILED
    assert states(run) == {"a": "done", "b": "failed"}
    (tmp_path / "b").touch()  # the operator mends it by hand: the check sees that
    assert await execute(run, instance, OPS) == ExitCode.DONE
    assert states(run) == {"a": "skipped", "b": "skipped", "c": "done"}


async def test_undo_on_failure_takes_back_and_tells_the_first_reason(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    run = create_run(instance, plan(tmp_path, touch("a"), touch("b", fail=True), on_failure="undo"))
    assert await execute(run, instance, OPS) == ExitCode.FAILED
    ended = run.events()[-1]
    assert isinstance(ended, RunEnded)
    assert ended.state == "undone"
    assert ended.error is not None
    assert ended.error["what"] == "It broke."
    assert not (tmp_path / "a").exists()


async def test_a_way_back_that_fails_too_stops_and_says_what_to_type(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    steps = touch("a"), touch("b", stuck=True), touch("c", fail=True)
    facts = {"by_hand": ["scrape b"]}
    run = create_run(instance, plan(tmp_path, *steps, on_failure="undo", facts=facts))
    assert await execute(run, instance, OPS) == ExitCode.FAILED
    assert states(run) == {"a": "undone", "b": "failed", "c": "undone"}
    ended = run.events()[-1]
    assert isinstance(ended, RunEnded)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error["code"] == "run.stuck"
    assert "It broke. Going back failed too." in ended.error["what"]
    assert "by hand: scrape b" in ended.error["details"]


async def test_an_unforeseen_error_is_three_sentences_and_no_traceback(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    run = create_run(instance, plan(tmp_path, touch("a", crash="boom")))
    assert await execute(run, instance, OPS) == ExitCode.FAILED
    ended = run.events()[-1]
    assert isinstance(ended, RunEnded)
    assert ended.error is not None
    assert "unforeseen boom" in ended.error["why"]
    assert "Traceback" not in run.log_path.read_text()


async def test_no_secret_reaches_log_or_journal(tmp_path: Path) -> None:
    import base64
    import urllib.parse

    secret = "t0p/s3cret+value"
    instance = Instance.at(tmp_path)
    (tmp_path / ".env").write_text("FORGE_PASS='from the file'\n")
    shown = [
        secret,
        base64.b64encode(secret.encode()).decode(),
        urllib.parse.quote(secret, safe=""),
        "from the file",
        "\x1b[2Jgone",
    ]
    steps = touch("a", say=shown), touch("b", crash=secret)
    run = create_run(instance, plan(tmp_path, *steps, facts={"x": "y"}))
    # The plan holds the secret only because this test put it there; what the run writes must not.
    await execute(run, instance, OPS, secrets={"T": secret})
    written = run.log_path.read_text() + run.events_path.read_text()
    for form in shown:
        assert form not in written
    assert "\x1b" not in written


async def test_cancel_ends_a_waiting_step_but_not_an_atomic_one(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    for atomic, expected in ((False, {"a": "cancelled"}), (True, {"a": "done"})):
        place = Instance.at(tmp_path / str(atomic))
        place.path.mkdir()
        run = create_run(place, plan(place.path, touch("a", wait=0.5, atomic=atomic), touch("b")))

        def stop(event: Event, run: RunDir = run) -> None:
            if isinstance(event, StepStarted):
                run.ask_cancel()

        assert await execute(run, place, OPS, listener=stop) == ExitCode.INTERRUPTED
        assert states(run) == expected
        assert run_status(run) == "cancelled"
    assert instance.path.exists()


@pytest.mark.parametrize("goes_back", [True, False])
async def test_asked_twice_an_atomic_step_is_aborted_and_the_journal_says_so(
    tmp_path: Path, goes_back: bool
) -> None:
    instance = Instance.at(tmp_path)
    steps = touch("a"), touch("b", wait=60, atomic=True), touch("c")
    run = create_run(instance, plan(tmp_path, *steps, on_failure="undo" if goes_back else "keep"))

    def stop(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == "b" and not run.cancel_asked():
            run.ask_cancel()
        elif isinstance(event, Lines) and "asked to stop" in event.texts[0]:
            run.ask_abort()

    assert await execute(run, instance, OPS, listener=stop) == ExitCode.INTERRUPTED
    log = run.log_path.read_text()
    assert "■ asked to stop; this step is finished first\n■ asked to abort\n" in log
    reasons = [event.reason for event in run.events() if isinstance(event, StepEnded) and event.step == "b"]
    assert reasons[0] == "Aborted half-way, as asked."
    ended = run.events()[-1]
    assert isinstance(ended, RunEnded) and ended.error is not None
    assert (ended.state, ended.error["code"]) == ("cancelled", "run.aborted")
    assert "was aborted in the step b" in ended.error["what"]
    assert states(run) == ({"a": "undone", "b": "undone"} if goes_back else {"a": "done", "b": "cancelled"})
    assert (tmp_path / "a").exists() is not goes_back
    if not goes_back:
        run.clear_cancel()
        assert not run.abort_asked()
        (tmp_path / "b").touch()
        assert await execute(run, instance, OPS) == ExitCode.DONE


async def test_an_abort_between_two_steps_begins_no_more_but_reports(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    last = Step("report", "Report", "report", {}, atomic=True, always=True)
    steps = touch("a", atomic=True), touch("b", atomic=True), last
    run = create_run(instance, plan(tmp_path, *steps, on_failure="keep"))

    def stop(event: Event) -> None:
        if isinstance(event, StepEnded):
            run.ask_abort()

    assert await execute(run, instance, {**OPS, "report": Report()}, listener=stop) == ExitCode.INTERRUPTED
    assert states(run) == {"a": "done", "report": "done"}


async def test_attaching_late_shows_what_watching_shows(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    run = create_run(instance, plan(tmp_path, touch("a", say=[f"line {n}" for n in range(500)]), touch("b")))
    live: list[Event] = []
    await execute(run, instance, OPS, listener=live.append)
    late = [event async for batch in follow(run) for event in batch]
    assert late == live


async def test_following_ends_when_the_process_dies(tmp_path: Path) -> None:
    run, child = start_stuck_run(tmp_path)
    task = asyncio.create_task(collect(run))
    await asyncio.sleep(0)
    child.send_signal(signal.SIGKILL)
    child.wait()
    events = await asyncio.wait_for(task, 10)
    assert not any(isinstance(event, RunEnded) for event in events)
    assert run_status(run) == "interrupted"


async def collect(run: RunDir) -> list[Event]:
    return [event async for batch in follow(run) for event in batch]


SCRIPT = """
import asyncio, os, signal, sys
from pathlib import Path
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir
from disinto_tui.core.events import StepEnded, StepStarted
from disinto_tui.runs.runner import execute
sys.path.insert(0, {root!r})
from tests.runs.test_runner import OPS
run, kind, step = RunDir(Path({run!r})), {kind!r}, {step!r}
def listen(event):
    if (kind, step) == (event.kind, getattr(event, "step", "")):
        os.kill(os.getpid(), signal.SIGKILL)
print(int(asyncio.run(execute(run, Instance.at({directory!r}), OPS, listener=listen))))
"""


def killed_at(run: RunDir, directory: Path, kind: str, step: str) -> int:
    """Execute in a process that is killed when that event has been journaled; its return code."""
    root = str(Path(__file__).resolve().parents[2])
    code = SCRIPT.format(root=root, run=str(run.path), kind=kind, step=step, directory=str(directory))
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


def start_stuck_run(directory: Path) -> tuple[RunDir, subprocess.Popen[bytes]]:
    run = create_run(Instance.at(directory), plan(directory, touch("a", wait=60)))
    root = str(Path(__file__).resolve().parents[2])
    code = SCRIPT.format(root=root, run=str(run.path), kind="", step="", directory=str(directory))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not states(run) and time.monotonic() < deadline:
        time.sleep(0.01)
    return run, child


@pytest.mark.parametrize("kind", ["step_started", "step_ended"])
@pytest.mark.parametrize("step", ["a", "b", "c"])
async def test_kill_at_every_boundary_then_finish_or_undo(tmp_path: Path, kind: str, step: str) -> None:
    for undo in (False, True):
        place = tmp_path / str(undo)
        place.mkdir()
        instance = Instance.at(place)
        run = create_run(instance, plan(place, touch("a"), touch("b"), touch("c")))
        assert killed_at(run, place, kind, step) == -signal.SIGKILL
        assert run_status(run) == "interrupted"
        assert await execute(run, instance, OPS, undo=undo) == ExitCode.DONE
        names = {path.name for path in place.iterdir() if path.name != ".disinto"}
        assert names == (set() if undo else {"a", "b", "c"})
        assert run_status(run) == ("undone" if undo else "done")


def test_step_ended_is_on_disk_before_anybody_hears_of_it(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    run = create_run(instance, plan(tmp_path, touch("a")))

    def check(event: Event) -> None:
        if not isinstance(event, Lines):
            assert run.events()[-1] == event

    asyncio.run(execute(run, instance, OPS, listener=check))
    assert isinstance(run.events()[-2], StepEnded)
    assert run.events_path.stat().st_size > 0


class Report:
    """Writes down how the run stood when its turn came."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        failed = ctx.failed
        said = "well" if failed is None else f"{failed[0]}: {failed[1].what}"
        (ctx.instance.path / "report").write_text(said)
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        return None


@pytest.mark.parametrize("fails", [True, False])
async def test_a_step_that_reports_is_executed_whatever_happened(tmp_path: Path, fails: bool) -> None:
    instance = Instance.at(tmp_path)
    last = Step("report", "Report", "report", {}, atomic=True, always=True)
    run = create_run(instance, plan(tmp_path, touch("a"), touch("b", fail=fails), touch("c"), last))
    code = await execute(run, instance, {**OPS, "report": Report()})
    assert code == (ExitCode.FAILED if fails else ExitCode.DONE)
    assert (tmp_path / "report").read_text() == ("b: It broke." if fails else "well")
    assert states(run)["report"] == "done"
    assert ("c" in states(run)) is not fails
    ended = run.events()[-1]
    assert isinstance(ended, RunEnded) and (ended.error is not None) is fails


async def test_a_stopped_run_reports_too(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    last = Step("report", "Report", "report", {}, atomic=True, always=True)
    run = create_run(instance, plan(tmp_path, touch("a"), touch("b"), last))
    run.ask_cancel()
    assert await execute(run, instance, {**OPS, "report": Report()}) == ExitCode.INTERRUPTED
    assert (tmp_path / "report").read_text().startswith("a: ")


async def test_what_a_recreate_proved_good_is_not_thrown_away_by_a_late_stop(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    steps = (touch("a"), touch("b", atomic=True), touch("c"))
    run = create_run(instance, plan(tmp_path, *steps, on_failure="undo"))

    def stop(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == "b":
            run.ask_cancel()

    assert await execute(run, instance, OPS, listener=stop) == ExitCode.DONE
    assert states(run) == {"a": "done", "b": "done", "c": "done"}
