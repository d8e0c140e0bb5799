"""Whether a run that is over may be begun again: asked as often as a screen likes, read when it may have changed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, RunDir, create_run
from disinto_tui.adapters.process import boot_id, process_start
from disinto_tui.core.errors import Refused
from disinto_tui.core.events import RunEnded, RunStarted, StepEnded
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.again import Ways, refuse_over

SWITCH = Plan("switch", "Switch", "/x", "p", "", (Step("pin", "Pin", "files"),))


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance.at(tmp_path)


class Journals:
    """Makes runs, one a second, and counts whose journal is read."""

    def __init__(self, instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance = instance
        self.reads = 0
        read = RunDir.events

        def counted(run: RunDir) -> object:
            self.reads += 1
            return read(run)

        monkeypatch.setattr(RunDir, "events", counted)

    def run(self, kind: str = "switch", pid: int = 0, facts: dict[str, str] | None = None) -> RunDir:
        """One that was begun, by this process without a `pid`."""
        made = create_run(self.instance, replace(SWITCH, kind=kind, facts=facts or {}))
        place = made.path.with_name(f"2026110{len(list(self.instance.runs.iterdir()))}-000000-{kind}-0000")
        made.path.rename(place)  # names sort by the second
        pid = pid or os.getpid()
        self.write(RunDir(place), RunStarted(1.0, place.name, pid, process_start(pid), boot_id()))
        return RunDir(place)

    def end(self, run: RunDir, state: str = "done") -> None:
        done = "done" if state == "done" else "failed"
        self.write(run, StepEnded(2.0, "pin", "done", 1.0), RunEnded(3.0, done, 0))

    def write(self, run: RunDir, *events: RunStarted | StepEnded | RunEnded) -> None:
        writer = JournalWriter(run)
        for event in events:
            writer.write(event)
        writer.close()


@pytest.fixture
def journals(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> Journals:
    return Journals(instance, monkeypatch)


def test_it_is_read_once_until_another_run_comes(instance: Instance, journals: Journals) -> None:
    run = journals.run()
    journals.end(run)
    ways = Ways(instance, run)
    assert (ways.take_back(), ways.finish()) == (True, False)
    journals.reads = 0
    assert [ways.take_back() for _ in range(20)] == [True] * 20
    assert not any(ways.finish() for _ in range(20))
    assert journals.reads == 0
    journals.end(journals.run())
    assert not ways.take_back(), "another switch rests on it now"


def test_a_run_that_is_gone_on_with_elsewhere_is_read_again(instance: Instance, journals: Journals) -> None:
    run = journals.run()
    journals.end(run, "failed")
    ways = Ways(instance, run)
    assert ways.finish()
    journals.end(run)
    assert not ways.finish()


def test_while_something_runs_nothing_is_kept_since_a_death_changes_no_file(
    instance: Instance, journals: Journals
) -> None:
    run = journals.run()
    journals.end(run, "failed")
    child = subprocess.Popen(["sleep", "60"])
    try:
        journals.run("formula", child.pid)
        ways = Ways(instance, run)
        assert ways.finish(), "a script at work hides nothing"
    finally:
        child.kill()
        child.wait()
    assert not ways.finish(), "one that died may have left anything"


def test_an_adoption_is_in_force_until_it_is_taken_back(instance: Instance, journals: Journals) -> None:
    run = journals.run("adopt")
    journals.end(run)
    ways = Ways(instance, run)
    assert ways.take_back()
    journals.end(journals.run())
    assert ways.take_back(), "switching since does not matter"
    journals.reads = 0
    assert ways.take_back()
    assert journals.reads == 0
    journals.end(journals.run("adopt-undo", facts={"undoes": run.id}))
    assert not ways.take_back()


def test_what_is_done_in_the_end_asks_anew(instance: Instance, journals: Journals) -> None:
    run = journals.run()
    journals.end(run)
    refuse_over(instance, run, undo=True)
    journals.end(journals.run())
    with pytest.raises(Refused, match="cannot be taken back any more") as caught:
        refuse_over(instance, run, undo=True)
    assert caught.value.code == "run.over"


def why_over(instance: Instance, run: RunDir, *, undo: bool = False) -> str:
    with pytest.raises(Refused) as caught:
        refuse_over(instance, run, undo=undo)
    return f"{caught.value.why} {caught.value.now}"


def test_why_it_is_over_is_told_as_it_is(instance: Instance, journals: Journals) -> None:
    """A release that failed did stop half-way: what came after it is the reason."""
    failed = create_run(
        instance,
        Plan(
            "release", "Release v0.4.2", "/x", "p", "", (Step("tag", "Tag", "files", {"version": "v0.4.2"}),)
        ),
    )
    journals.write(failed, StepEnded(2.0, "tag", "done", 1.0), RunEnded(3.0, "failed", 1))
    refuse_over(instance, failed, undo=True)
    done = RunDir(failed.path.with_name("99991231-000000-switch-0000"))
    journals.run().path.rename(done.path)
    journals.end(done)
    said = why_over(instance, failed)
    assert said.startswith("“Switch” came after it") and "`disinto release v0.4.2` begins anew" in said
    assert "release the next version" in why_over(instance, failed, undo=True)
    said = why_over(instance, done)
    assert said.startswith("It is done,") and "`disinto rollback`" in said
