"""Filing a request while the forge, the people or the host do something else: every fault by its name."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters import journal
from disinto_tui.adapters.forge import ForgeClient
from disinto_tui.adapters.http import Response
from disinto_tui.adapters.journal import (
    JournalWriter,
    create_run,
    may_finish,
    may_take_back,
    run_status,
    unfinished_run,
)
from disinto_tui.core.events import RunEnded, RunStarted, StepEnded, StepStarted
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs import ops_approval
from tests.support.filing import BRANCH, PATH, TEXT, Filer, new_filer, step_states_of
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, default_state


@pytest.fixture
def filer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filer]:
    monkeypatch.setattr(ops_approval, "POLL_SECONDS", 0.01)
    with ForgeDouble(default_state()) as forge:
        yield new_filer(tmp_path, forge)


# -- the merge ----------------------------------------------------------------------------------------------------


async def test_merge_200_without_an_approval_is_an_alarm(
    filer: Filer, monkeypatch: pytest.MonkeyPatch
) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    opened = ops_approval.RequestMerge._mergeable

    async def meanwhile(*args: Any) -> Any:
        filer.unprotect()  # between the look and the merge
        return await opened(*args)

    monkeypatch.setattr(ops_approval.RequestMerge, "_mergeable", meanwhile)
    ended = await filer.go(run)
    assert (ended.exit_code, ended.state) == (1, "failed")
    assert ended.error is not None and ended.error["code"] == "request.unapproved"
    assert ended.error["what"].startswith("ALARM") and PATH in ended.error["now"]
    assert ended.result["unapproved"] is True
    assert step_states_of(run)["schedule"] == "failed"
    assert "ALARM" in run.events_path.read_text()
    # Resuming does not make it well, protected or not.
    ended = await filer.go(run)
    assert ended.error is not None and ended.error["code"] == "request.unapproved"
    await filer.go(run, undo=True)
    assert "is merged, and stays" in run.events_path.read_text()


async def test_a_merge_that_somebody_approved_meanwhile_is_no_alarm(filer: Filer) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    await filer.go(run)
    filer.ask("DELETE", f"/pulls/{filer.pull.number}/merge")  # somebody cancelled the schedule
    filer.approve()
    ended = await filer.go(run)
    assert ended.exit_code == 0, ended.error
    assert filer.pull.merged
    assert "was approved by disinto-admin, and is merged" in run.log_path.read_text()


async def test_405_is_not_success(filer: Filer) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    filer.ask("PATCH", "/branch_protections/main", {"merge_whitelist_usernames": ["disinto-admin"]})
    ended = await filer.go(run)
    assert ended.exit_code == 1
    assert ended.error is not None and ended.error["code"] == "request.unscheduled"
    assert "405" in ended.error["why"] and "not allowed to merge" in ended.error["why"]
    assert filer.pull.state == "open" and not filer.pull.scheduled
    filer.ask("PATCH", "/branch_protections/main", {"merge_whitelist_usernames": ["dev-bot"]})
    ended = await filer.go(run)
    assert ended.exit_code == 0 and filer.pull.scheduled


async def test_a_405_of_one_that_was_merged_meanwhile_is_no_failure(
    filer: Filer, monkeypatch: pytest.MonkeyPatch
) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    looked = ops_approval.RequestMerge._mergeable

    async def meanwhile(*args: Any) -> Any:
        pull = await looked(*args)
        await asyncio.to_thread(filer.approve)
        await asyncio.to_thread(filer.ask, "POST", f"/pulls/{pull['number']}/merge", {"Do": "merge"})
        return pull

    monkeypatch.setattr(ops_approval.RequestMerge, "_mergeable", meanwhile)
    ended = await filer.go(run)
    assert ended.exit_code == 0, ended.error
    assert ended.result["merged"] is True
    assert "was approved by disinto-admin, and is merged" in run.log_path.read_text()


async def test_whoever_may_not_merge_files_without_a_schedule(filer: Filer) -> None:
    filer.protect(merge_whitelist_usernames=["disinto-admin"])
    prepared = await filer.plan()
    assert [step.id for step in prepared.plan.steps] == ["protection", "branch", "action", "pull-request"]
    assert any("no merge is scheduled" in note for note in prepared.plan.notes)
    _, ended = await filer.file()
    assert ended.exit_code == 0 and filer.pull.state == "open"


async def test_a_forge_that_is_still_checking_for_conflicts_is_waited_for(filer: Filer) -> None:
    filer.protect()
    filer.forge.state.checking = 3
    _, ended = await filer.file()
    assert ended.exit_code == 0, ended.error
    assert filer.pull.scheduled


async def test_a_conflict_is_no_success(filer: Filer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_approval, "CHECKING_SECONDS", 0.03)
    filer.protect()
    run, ended = await filer.file()
    filer.ask("DELETE", f"/pulls/{filer.pull.number}/merge")
    filer.pull.mergeable = False
    ended = await filer.go(run)
    assert ended.error is not None and ended.error["code"] == "request.unscheduled"


# -- answers that come late, or never -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", ["/branches", f"/contents/{PATH}", "/pulls", "/merge", "/branch_protections"]
)
async def test_a_forge_that_answers_late_after_having_done_the_work(filer: Filer, call: str) -> None:
    protects = call == "/branch_protections"
    if protects:
        filer.token(ADMIN_TOKEN)
    else:
        filer.protect()
    run = create_run(filer.instance, (await filer.plan(protect=protects)).plan)
    filer.forge.state.late.append(("POST", call))
    ended = await filer.go(run)
    assert ended.exit_code == 0, ended.error
    assert filer.forge.state.late == []
    assert "the forge did not say" in run.log_path.read_text()
    assert len(filer.ops.pulls) == 1 and filer.pull.scheduled


@pytest.mark.parametrize("call", ["/branches", f"/contents/{PATH}", "/pulls"])
async def test_a_forge_that_fails_is_unavailable_and_the_run_goes_on_later(filer: Filer, call: str) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    filer.forge.state.failing.append(("POST", call))
    ended = await filer.go(run)
    assert ended.exit_code == 3
    assert ended.error is not None and ended.error["code"] == "forge.failing"
    ended = await filer.go(run)
    assert ended.exit_code == 0, ended.error
    assert len(filer.ops.pulls) == 1 and filer.pull.scheduled


# -- kills --------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """A kill: nothing catches it, and nothing is written after it."""


WRITES = ("/branches", f"/contents/{PATH}", "/pulls", "/merge")


@pytest.mark.parametrize("undo", [False, True], ids=["resumed", "taken back"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", WRITES)
async def test_killed_at_every_write_and_finished_or_taken_back(
    filer: Filer, monkeypatch: pytest.MonkeyPatch, call: str, when: str, undo: bool
) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    asked = ForgeClient.call

    async def killing(self: ForgeClient, method: str, path: str, **more: Any) -> Response:
        hit = method == "POST" and path.endswith(call)
        if hit and when == "before":
            raise Killed
        answer = await asked(self, method, path, **more)
        if hit:
            raise Killed
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(ForgeClient, "call", killing)
        with pytest.raises(Killed):
            await filer.go(run)
    ended = await filer.go(run, undo=undo)
    assert ended.exit_code == 0, ended.error
    if undo:
        assert ended.state == "undone"
        assert set(filer.ops.branches) == {"main"}
        assert all(pull.state == "closed" and not pull.scheduled for pull in filer.ops.pulls.values())
    else:
        assert len(filer.ops.pulls) == 1 and filer.pull.scheduled
        assert filer.ops.trees[BRANCH][PATH].decode() == TEXT
    assert PATH not in filer.ops.trees["main"]


async def test_kill_9_between_the_merge_s_answer_and_the_journal_is_resumed(filer: Filer) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    argv = [sys.executable, "-m", "disinto_tui.runs.process", str(run.path)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    filer.forge.state.meanwhile[("POST", "/merge")] = process.kill
    _, words = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == -signal.SIGKILL, words
    filer.forge.state.meanwhile.clear()
    assert run_status(run) == "interrupted" and filer.pull.scheduled
    ended = await filer.go(run)
    assert ended.exit_code == 0, ended.error
    assert ended.result["scheduled"] is True and len(filer.ops.pulls) == 1


# -- others at the same time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["/branches", f"/contents/{PATH}", "/pulls"])
async def test_two_operators_at_once_file_one_request_and_only_its_maker_takes_it_back(
    filer: Filer, tmp_path: Path, call: str
) -> None:
    """The other one is quicker, between this one's look and its write."""
    filer.protect()
    filer.forge.state.users.pop("lead")
    other = new_filer(tmp_path / "other", filer.forge)
    theirs = create_run(other.instance, (await other.plan()).plan)
    run = create_run(filer.instance, (await filer.plan()).plan)
    asked, begun = ForgeClient.call, [False]

    async def slow(self: ForgeClient, method: str, path: str, **more: Any) -> Response:
        if method == "POST" and path.endswith(call) and not begun[0]:
            begun[0] = True
            ended = await other.go(theirs)
            assert ended.exit_code == 0, ended.error
        return await asked(self, method, path, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForgeClient, "call", slow)
        ended = await filer.go(run)
    assert ended.exit_code == 0, ended.error
    assert len(filer.ops.pulls) == 1
    await filer.go(run, undo=True)
    assert filer.pull.state == "open" and filer.pull.scheduled  # it is the other's
    assert filer.ops.trees[BRANCH][PATH].decode() == TEXT
    await other.go(theirs, undo=True)
    assert filer.pull.state == "closed"


# -- the way back -----------------------------------------------------------------------------------------------


async def test_the_way_back_closes_the_pull_request_and_deletes_the_branch(filer: Filer) -> None:
    filer.protect()
    run, _ = await filer.file()
    assert may_take_back(filer.instance, run)
    ended = await filer.go(run, undo=True)
    assert ended.state == "undone"
    assert filer.pull.state == "closed" and not filer.pull.scheduled
    assert set(filer.ops.branches) == {"main"}
    assert not may_take_back(filer.instance, run)


async def test_the_way_back_takes_only_what_the_run_made(filer: Filer) -> None:
    filer.protect()
    await filer.file()
    run, _ = await filer.file()  # all of it was there already
    ended = await filer.go(run, undo=True)
    assert ended.state == "undone"
    assert filer.pull.state == "open" and BRANCH in filer.ops.branches
    assert filer.pull.scheduled  # the first run's


async def test_a_file_on_somebody_elses_branch_is_taken_back_and_the_branch_stays(filer: Filer) -> None:
    filer.protect()
    filer.ops.fork_branch(BRANCH, "main")
    run, ended = await filer.file()
    assert ended.exit_code == 0, ended.error
    await filer.go(run, undo=True)
    assert filer.pull.state == "closed"
    assert PATH not in filer.ops.trees[BRANCH]


async def test_a_base_that_goes_on_between_look_and_branch_leaves_the_run_resumable(
    filer: Filer, monkeypatch: pytest.MonkeyPatch
) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    asked = ForgeClient.call

    async def slow(self: ForgeClient, method: str, path: str, **more: Any) -> Response:
        if method == "POST" and path.endswith("/branches"):
            filer.commit("notes.md", "agents write")
        answer = await asked(self, method, path, **more)
        if method == "POST" and path.endswith("/branches"):
            filer.commit("notes.md", "and go on")
            raise Killed
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(ForgeClient, "call", slow)
        with pytest.raises(Killed):
            await filer.go(run)
    ended = await filer.go(run)
    assert ended.exit_code == 0, ended.error
    ended = await filer.go(run, undo=True)
    assert set(filer.ops.branches) == {"main"}


async def test_a_request_that_stopped_is_gone_on_with_whatever_was_done_here_since(filer: Filer) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    filer.forge.state.failing.append(("POST", "/pulls"))
    await filer.go(run)
    step = Step("a", "A", "directories", {"paths": []})
    later = create_run(filer.instance, Plan("switch", "x", str(filer.directory), "p", "", (step,)))
    writer = JournalWriter(later)
    writer.write(RunStarted(1.0, later.id, 1, 1.0, "another boot"))
    writer.write(RunEnded(2.0, "done", 0))
    writer.close()
    found = unfinished_run(filer.instance)
    assert may_finish(filer.instance, run) and (found is None or found.id != later.id)
    assert not may_finish(filer.instance, later)
    assert (await filer.go(run)).exit_code == 0
    assert not may_finish(filer.instance, run)


async def test_an_old_request_can_still_be_withdrawn(filer: Filer, monkeypatch: pytest.MonkeyPatch) -> None:
    filer.protect()
    run, _ = await filer.file()
    monkeypatch.setattr(journal, "KEPT_WHOLE", 0)
    create_run(filer.instance, run.plan())
    assert not run.log_path.exists()  # it is old by now
    await filer.go(run, undo=True)
    assert filer.pull.state == "closed" and set(filer.ops.branches) == {"main"}


async def test_a_branch_that_somebody_went_on_with_stays(filer: Filer) -> None:
    filer.protect()
    run, _ = await filer.file()
    filer.commit("more.txt", "x", BRANCH)
    await filer.go(run, undo=True)
    assert filer.pull.state == "closed" and BRANCH in filer.ops.branches


async def test_a_merged_request_is_not_taken_back(filer: Filer) -> None:
    filer.protect()
    run, _ = await filer.file()
    filer.approve()
    ended = await filer.go(run, undo=True)
    assert ended.state == "undone"
    assert filer.ops.trees["main"][PATH].decode() == TEXT
    assert "is merged, and stays" in run.events_path.read_text()


async def test_a_request_that_was_closed_unmerged_is_filed_anew_and_says_so(filer: Filer) -> None:
    filer.protect()
    await filer.file()
    first = filer.pull
    filer.ask("PATCH", f"/pulls/{first.number}", {"state": "closed"})
    prepared = await filer.plan()
    assert any("closed without a merge" in text for text in prepared.plan.dangers)
    _, ended = await filer.file()
    assert ended.exit_code == 0, ended.error
    assert filer.pull.number != first.number and filer.pull.scheduled


async def test_a_request_closed_unmerged_while_its_run_was_interrupted_is_not_filed_anew(
    filer: Filer,
) -> None:
    filer.protect()
    run, _ = await filer.file()
    filer.ask("PATCH", f"/pulls/{filer.pull.number}", {"state": "closed"})
    ended = await filer.go(run)
    assert ended.error is not None and ended.error["code"] == "request.closed"
    assert len(filer.ops.pulls) == 1 and filer.pull.state == "closed"


async def test_a_request_hides_no_release_that_was_left_half_way(filer: Filer) -> None:
    filer.protect()
    step = Step("a", "A", "directories", {"paths": []})
    half = create_run(filer.instance, Plan("release", "x", str(filer.directory), "p", "", (step,)))
    writer = JournalWriter(half)
    for event in (
        RunStarted(1.0, half.id, 1, 1.0, "another boot"),
        StepStarted(2.0, "a"),
        StepEnded(3.0, "a", "done", 1.0),
        RunEnded(4.0, "failed", 1),
    ):
        writer.write(event)
    writer.close()
    run, ended = await filer.file()
    assert ended.exit_code == 0 and run.id > half.id
    found = unfinished_run(filer.instance)
    assert found is not None and found.id == half.id
