"""A run on disk: written ahead, mended after a kill, told apart when interrupted."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.adapters import journal
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import (
    JournalWriter,
    RunDir,
    create_run,
    find_run,
    list_runs,
    run_status,
    step_states,
    unfinished_run,
)
from disinto_tui.adapters.process import boot_id, process_start
from disinto_tui.core.errors import BadInput
from disinto_tui.core.events import (
    Event,
    Lines,
    Progress,
    RunEnded,
    RunStarted,
    RunState,
    StepEnded,
    StepStarted,
    StepState,
    event_from_json,
    event_to_json,
)
from disinto_tui.core.plan import (
    FileChange,
    ImagePull,
    Plan,
    ServiceChange,
    Step,
    plan_from_json,
    plan_to_json,
)

PLAN = Plan(
    "init",
    "Make it",
    "/d",
    "p",
    "unix:///s",
    (Step("one", "One", "noop", {"a": [1]}), Step("two", "Two", "noop", atomic=True)),
    files=(FileChange(".env", "create", secret=True),),
    services=(ServiceChange("agents", "create", "new"),),
    pulls=(ImagePull("r/i:v1", "sha256:0", 12),),
    dangers=("d",),
    notes=("n",),
    facts={"x": {"y": 1}},
)


def started(pid: int | None = None) -> RunStarted:
    pid = os.getpid() if pid is None else pid
    return RunStarted(time.time(), "r", pid, process_start(pid), boot_id())


def test_a_plan_survives_json() -> None:
    import json

    assert plan_from_json(json.loads(json.dumps(plan_to_json(PLAN)))) == PLAN


@given(
    st.one_of(
        st.builds(Lines, st.text(), st.integers(0), st.lists(st.text()).map(tuple)),
        st.builds(Progress, st.floats(0, 1e10), st.text(), st.text(), st.integers(0), st.integers(0)),
        st.builds(StepEnded, st.floats(0, 1e10), st.text(), st.just("done"), st.floats(0, 1e6), st.text()),
    )
)
def test_events_survive_json(event: Event) -> None:
    assert event_from_json(event_to_json(event)) == event


def test_an_older_reader_drops_fields_it_does_not_know() -> None:
    data = {**event_to_json(StepStarted(1.0, "x")), "later": True}
    assert event_from_json(data) == StepStarted(1.0, "x")
    with pytest.raises(ValueError, match="not an event"):
        event_from_json({"kind": "unheard"})


def test_everything_of_a_run_is_private(tmp_path: Path) -> None:
    run = create_run(Instance.at(tmp_path), PLAN, {".env": b"TOKEN='x'\n", "projects/a.toml": b""})
    writer = JournalWriter(run)
    writer.close()
    for path in run.path.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((tmp_path / ".disinto").stat().st_mode) == 0o700
    run.drop_staged()
    assert not run.staged.exists()


def test_status_follows_the_journal_and_the_process(tmp_path: Path) -> None:
    run = create_run(Instance.at(tmp_path), PLAN)
    assert run_status(run) == "planned"
    writer = JournalWriter(run)
    writer.write(started())
    writer.write(StepStarted(1.0, "one"))
    assert run_status(run) == "running"
    assert step_states(run.events()) == {"one": "running"}
    writer.write(StepEnded(2.0, "one", "done", 1.0))
    writer.write(RunEnded(3.0, "failed", 1))
    assert run_status(run) == "failed"
    found = unfinished_run(Instance.at(tmp_path))
    assert found is not None
    assert found.id == run.id


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    run = create_run(Instance.at(tmp_path), PLAN)
    writer = JournalWriter(run)
    writer.write(RunStarted(time.time(), run.id, os.getpid(), 1.0, boot_id()))
    writer.close()
    assert run_status(run) == "interrupted"
    assert unfinished_run(Instance.at(tmp_path)) is not None


def test_a_line_cut_by_a_kill_costs_nothing_but_itself(tmp_path: Path) -> None:
    run = create_run(Instance.at(tmp_path), PLAN)
    writer = JournalWriter(run)
    writer.write(started())
    writer.lines("one", ["whole"])
    writer.close()
    with run.events_path.open("ab") as file:
        file.write(b'{"kind":"step_sta')
    with run.log_path.open("ab") as file:
        file.write(b"half a li")
    assert [event.kind for event in run.events()] == ["run_started"]
    again = JournalWriter(run)
    again.write(StepStarted(2.0, "one"))
    again.lines("one", ["next"])
    again.close()
    assert [event.kind for event in run.events()] == ["run_started", "step_started"]
    assert run.log_path.read_text().splitlines() == ["whole", "half a li", "next"]


def test_runs_are_found_by_a_unique_beginning(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    first, second = create_run(instance, PLAN), create_run(instance, PLAN)
    assert {run.id for run in list_runs(instance)} == {first.id, second.id}
    assert find_run(instance, first.id).id == first.id
    with pytest.raises(BadInput):
        find_run(instance, "2")
    with pytest.raises(BadInput):
        find_run(instance, "nothing-like-it")


def test_names_of_runs_tell_their_order_also_within_one_second_and_with_a_clock_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = Instance.at(tmp_path)
    kinds = ("switch", "rollback", "up", "adopt")
    made = [create_run(instance, replace(PLAN, kind=kind)).id for kind in kinds]
    real, now = time.gmtime, time.gmtime(time.time() - 86_400)
    monkeypatch.setattr(journal.time, "gmtime", lambda *given: real(*given) if given else now)
    made.append(create_run(instance, PLAN).id)
    (instance.runs / "zzz").mkdir()
    (instance.runs / "zzz" / "plan.json").write_text("{}")  # a name that somebody else gave
    made.append(create_run(instance, PLAN).id)
    assert [run.id for run in journal.list_runs(instance)] == ["zzz", *reversed(made)]


def test_a_formula_does_not_hide_a_run_that_was_left_half_way(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)

    def ended(kind: str, state: RunState, step: StepState) -> str:
        run = create_run(instance, Plan(kind, kind, str(tmp_path), "p", "", (Step("a", "A", "x"),)))
        stamp = run.path.with_name(f"2026110{len(list(instance.runs.iterdir()))}-000000-{kind}-0000")
        run.path.rename(stamp)  # names sort by time, and these were made within a second
        writer = JournalWriter(RunDir(stamp))
        writer.write(StepEnded(1.0, "a", step, 1.0))
        writer.write(RunEnded(2.0, state, 0))
        writer.close()
        return stamp.name

    def found(*, formulas: bool = True) -> str:
        run = unfinished_run(instance, formulas=formulas)
        return run.id if run is not None else ""

    half_way = ended("switch", "failed", "done")
    ended("formula", "done", "done")
    assert found() == found(formulas=False) == half_way
    script = ended("formula", "failed", "done")
    assert (found(), found(formulas=False)) == (script, half_way)
    ended("formula", "done", "done")
    assert found() == half_way
    ended("switch", "done", "done")
    assert found() == ""


def test_of_old_runs_the_history_stays_and_the_log_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "KEPT_WHOLE", 2)
    instance = Instance.at(tmp_path)
    made = []
    for number, over in enumerate((True, False, True, True, True)):
        run = create_run(instance, PLAN)
        place = run.path.with_name(f"20260101-00000{number}-init-0000")
        run.path.rename(place)
        run = RunDir(place)
        writer = JournalWriter(run)
        writer.write(RunStarted(1.0, run.id, 1, 1.0, "boot"))
        writer.lines("one", ["a line"])
        if over:
            writer.write(RunEnded(2.0, "done", 0))
        writer.close()
        (run.backup / "x").mkdir(parents=True)
        made.append(run)
    create_run(instance, PLAN)
    whole = [run.log_path.exists() and run.backup.exists() for run in made]
    assert whole == [False, True, False, True, True]  # one that never ended may still be taken back
    assert [run_status(run) for run in made] == ["done", "interrupted", "done", "done", "done"]
    assert made[0].plan() == PLAN
