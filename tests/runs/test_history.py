"""What the journals say of versions: condemned, left, never started; and where a rollback leads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, RunDir, create_run, list_runs
from disinto_tui.core.events import RunEnded, RunStarted, RunState
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.history import history, last_good_before, left_behind

NAME = "ghcr.io/d/agents"
SICK = {"what": "agents did not come up.", "why": "It is unhealthy.", "now": "", "code": "service.unhealthy"}
BUSY = {"what": "The agents did not become idle.", "why": "They work.", "now": "", "code": "idle"}


class Past:
    """Writes runs, one an hour."""

    def __init__(self, directory: Path) -> None:
        self.instance = Instance.at(directory)
        self.hour = 0

    def run(
        self, kind: str, to: str, before: str, *ends: tuple[RunState, dict[str, Any] | None], **more: str
    ) -> None:
        self.hour += 1
        facts = {"to": f"{NAME}:{to}", "from": f"{NAME}:{before}" if before else "", "by": "ops"}
        facts["digest"] = more.get("digest", "")
        steps = (Step("watch", "Watch", "watch-switch", {}),)
        run = create_run(self.instance, Plan(kind, kind, "/", "p", "", steps, facts=facts))
        place = run.path.with_name(f"20261101-{self.hour:06}-{kind}-0000")
        run.path.rename(place)
        writer = JournalWriter(RunDir(place))
        writer.write(RunStarted(float(self.hour), place.name, 1, 1.0, "boot"))
        for state, error in ends:
            result = {} if error else {"watched": ["agents"], "image_id": more.get("image", "")}
            writer.write(RunEnded(self.hour + 0.5, state, 0, error=error, result=result))
        writer.close()

    def target(self, current: str) -> str:
        found = last_good_before(history(self.instance), f"{NAME}:{current}")
        return "" if found is None else found.version

    def behind(self) -> set[str]:
        return {name.rpartition(":")[2] for name in left_behind(history(self.instance))}


def test_a_switch_that_never_started_a_version_says_nothing_about_it(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.run("init", "v1", "", ("done", None))
    past.run("switch", "v2", "v1", ("done", None))
    past.run("rollback", "v1", "v2", ("undone", BUSY))
    assert past.behind() == set()
    assert past.target("v2") == "v1"
    assert [entry.outcome for entry in history(past.instance)] == ["failed", "good", "good"]


def test_a_version_that_the_watch_condemned_is_reverted_until_it_is_seen_healthy(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.run("init", "v1", "", ("done", None))
    past.run("switch", "v2", "v1", ("done", None))
    past.run("switch", "v1", "v2", ("undone", SICK))
    assert past.behind() == {"v1"}
    assert past.target("v2") == ""
    past.run("switch", "v1", "v2", ("failed", BUSY))
    assert past.behind() == {"v1"}  # nothing was learnt since
    past.run("switch", "v1", "v2", ("done", None))
    past.run("switch", "v2", "v1", ("done", None))
    assert past.behind() == set()
    assert past.target("v2") == "v1"


def test_a_good_switch_that_somebody_took_back_was_left_and_not_condemned(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.run("init", "v1", "", ("done", None))
    past.run("switch", "v2", "v1", ("done", None), ("undone", None))
    assert [entry.outcome for entry in history(past.instance)] == ["left", "good"]
    assert past.behind() == {"v2"}


def test_a_start_without_a_digest_takes_it_from_another_start_of_the_same_image(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.run("switch", "v1", "", ("done", None), digest="sha256:1", image="i1")
    past.run("up", "v1", "", ("done", None), image="i1")
    past.run("switch", "v2", "v1", ("done", None), digest="sha256:2", image="i2")
    found = last_good_before(history(past.instance), f"{NAME}:v2")
    assert found is not None and (found.kind, found.digest) == ("up", "sha256:1")


def test_the_same_image_under_another_spelling_is_no_target(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.run("switch", "v0", "", ("done", None), digest="sha256:0", image="i0")
    exact = "sha256:" + "1" * 64
    past.run("switch", "v1", "v0", ("done", None), digest=exact, image="i1")
    past.run("switch", f"v1@{exact}", "v1", ("done", None), digest=exact, image="i1")
    assert past.target(f"v1@{exact}") == "v0"


def test_runs_of_other_kinds_push_nothing_out_of_the_history(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.run("init", "v1", "", ("done", None))
    past.run("formula", "x", "", ("done", None))
    newest = list_runs(past.instance)[0].path
    for number in range(310):  # as so many runs would leave them
        shutil.copytree(newest, newest.with_name(f"20261102-{number:06}-formula-0000"))
    assert len(list_runs(past.instance)) == 312
    assert [entry.version for entry in history(past.instance)] == ["v1"]
