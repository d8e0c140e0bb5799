"""A dry run: each step's checks are asked, its scripts shown, and nothing is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.process import Command, run
from disinto_tui.adapters.tape import Asked
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.ops_script import Script
from disinto_tui.runs.ops_tags import PushMirrors
from disinto_tui.runs.rehearsal import Rehearsed, rehearse
from disinto_tui.runs.runner import Operation, Place
from tests.runs.test_runner import Touch


class Careless(Touch):
    """Would write while it is rehearsed."""

    async def rehearse(self, place: Place, params: Any) -> tuple[str, list[Asked]]:
        await run(Command(("touch", str(place.instance.path / "written")), writes=True))
        return "", []


OPS: dict[str, Operation] = {
    "script": Script(),
    "touch": Touch(),
    "careless": Careless(),
    "push-mirrors": PushMirrors(),
}


async def rehearsed(directory: Path, *steps: Step, **secrets: str) -> list[Rehearsed]:
    plan = Plan("formula", "x", str(directory), "p", "", steps)
    return await rehearse(Instance.at(directory), plan, OPS, secrets)


def script(name: str, **params: Any) -> Step:
    return Step(name, name.title(), "script", {"script": "touch written", **params})


async def test_a_scripts_check_is_asked_and_the_script_is_not_executed(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    steps = (
        script("done", check="test -e there"),
        script("open", check="test -e nowhere", env={"X": "1"}),
        script("plain"),
        script("secret", check="touch written", secrets=["TOKEN"]),
        script("given", check='test "$PUSH" = p4ss-word', secrets=["PUSH"]),
    )
    found = {item.step: item for item in await rehearsed(tmp_path, *steps, PUSH="p4ss-word")}
    assert found["done"].remark == found["given"].remark == "Its check says that it is done."
    assert [(act.kind, act.executed) for act in found["done"].acts] == [("read", True)]
    assert [(act.kind, act.executed) for act in found["open"].acts] == [("read", True), ("write", False)]
    assert [(act.kind, act.executed) for act in found["plain"].acts] == [("write", False)]
    assert "TOKEN is not here" in found["secret"].remark
    assert [(act.kind, act.executed) for act in found["secret"].acts] == [("read", False), ("write", False)]
    assert "p4ss-word" not in str(found)
    assert {path.name for path in tmp_path.iterdir()} == {"there"}


async def test_what_would_write_is_refused_and_the_rest_is_rehearsed_all_the_same(tmp_path: Path) -> None:
    found = await rehearsed(
        tmp_path, Step("a", "A", "careless"), Step("b", "B", "touch", {"file": "written"})
    )
    assert found[0].remark.startswith("▲ A dry run changes nothing.")
    assert [(act.kind, act.executed, act.text) for act in found[1].acts] == [("write", False, "touch: B")]
    assert list(tmp_path.iterdir()) == []


async def test_a_mirror_that_does_not_answer_is_a_remark(tmp_path: Path) -> None:
    mirrors = {"gone": "http://127.0.0.1:9/gone.git"}
    params = {"checkout": str(tmp_path), "mirrors": mirrors, "refs": {"refs/tags/v1.0.0": "1" * 40}}
    (found,) = await rehearsed(tmp_path, Step("push", "Push", "push-mirrors", params))
    assert found.remark.startswith("▲ gone: ")
    assert [(act.kind, act.executed) for act in found.acts] == [("read", True)]
