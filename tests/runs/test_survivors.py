"""Children of a run that was killed: nobody works beside them, and none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters import survivors
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run, run_status
from disinto_tui.adapters.process import Command, process_start, run
from disinto_tui.core.errors import ExitCode, Refused
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.runner import Context, execute
from tests.support.engine import ROOT
from tests.support.processes import poll

CHILD = """
import os, signal, subprocess, sys, time
if sys.argv[2:] == ["deaf"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) < 4:
    subprocess.Popen([sys.executable, "-c", open("child.py").read(), sys.argv[1], sys.argv[2], "grand"])
    open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep({seconds})
"""


class Work:
    """Starts a child that starts another; says nothing. `how` is "" or "deaf"; the second time there is no need."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        place = ctx.instance.path / "pid"
        if not place.exists():
            return None
        (ctx.instance.path / "found").write_text(str(process_start(int(place.read_text()))))
        return "begun already"

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        argv = (sys.executable, "child.py", "pid", str(params["how"]))
        await run(Command(argv, writes=bool(params.get("writes", True)), cwd=str(ctx.instance.path)))
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        return None


OPERATIONS = {"work": Work()}
SCRIPT = """
import asyncio, sys
from pathlib import Path
from disinto_tui.adapters.journal import RunDir
from disinto_tui.runs.launch import instance_of
from disinto_tui.runs.runner import execute
from tests.runs.test_survivors import OPERATIONS
run = RunDir(Path(sys.argv[1]))
asyncio.run(execute(run, instance_of(run), OPERATIONS))
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survivors, "PATIENCE", 0.2)
    monkeypatch.setattr(survivors, "GRACE", 0.5)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    (tmp_path / "child.py").write_text(CHILD.format(seconds=60))
    found = Instance.at(tmp_path)
    yield found
    for one in survivors.survivors(found):
        os.kill(one.pid, signal.SIGKILL)


def killed(instance: Instance, **params: Any) -> RunDir:
    """A run whose process was killed while its child is at work."""
    step = Step("a", "A", "work", params)
    made = create_run(instance, Plan("init", "Make it", str(instance.path), "p", "unix:///s", (step,)))
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(made.path)], cwd=ROOT)
    assert poll(30, lambda: (instance.path / "pid").exists() and (instance.path / "pid").read_text() != "")
    process.kill()
    process.wait()
    assert run_status(made) == "interrupted"
    return made


@pytest.mark.parametrize("how", ["", "deaf"])
async def test_what_a_killed_run_left_working_is_ended_before_anything_is_looked_at(
    instance: Instance, how: str
) -> None:
    made = killed(instance, how=how)
    link = instance.path.with_name(f"{instance.path.name}-link")
    link.symlink_to(instance.path)
    assert survivors.survivors(Instance.at(link))  # whichever way it was come by
    left = survivors.survivors(instance)
    assert len(left) == 2 and all(one.alive for one in left)
    assert await execute(made, instance, OPERATIONS) == ExitCode.DONE
    assert (instance.path / "found").read_text() == "0.0"
    assert not survivors.survivors(instance) and not any(one.alive for one in left)
    log = made.log_path.read_text()
    assert f"(pid {left[0].pid}) is left of a run that was killed" in log
    assert f"it goes on; ending `{left[0].command}`" in log


async def test_what_ends_by_itself_is_waited_for(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    (instance.path / "child.py").write_text(CHILD.format(seconds=1))
    monkeypatch.setattr(survivors, "PATIENCE", 30)
    made = killed(instance, how="")
    said: list[str] = []
    await survivors.ended(instance, said.append)
    assert not survivors.survivors(instance)
    assert not [line for line in said if "ending" in line]
    assert run_status(made) == "interrupted"


async def test_a_new_run_does_not_begin_beside_it_either(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(instance, how="deaf")
    monkeypatch.setattr(survivors, "signal_process", lambda *_: True)  # as if it were not ours to end
    step = Step("b", "B", "work", {"how": ""})
    other = create_run(instance, Plan("init", "Again", str(instance.path), "p", "unix:///s", (step,)))
    with pytest.raises(Refused, match="still at work") as told:
        await execute(other, instance, OPERATIONS)
    assert told.value.code == "instance.survivors"
    assert other.events() == []


async def test_what_only_reads_and_what_an_ended_run_left_is_nobodys_business(instance: Instance) -> None:
    killed(instance, how="", writes=False)
    assert survivors.survivors(instance) == []
    os.killpg(int((instance.path / "pid").read_text()), signal.SIGKILL)

    step = Step("a", "A", "work", {"how": ""})
    done = create_run(instance, Plan("init", "Make it", str(instance.path), "p", "unix:///s", (step,)))
    assert await execute(done, instance, OPERATIONS) == ExitCode.DONE
    server = subprocess.Popen(["sleep", "60"], env={**os.environ, "DISINTO_RUN": str(done.path)})
    try:
        assert survivors.survivors(instance) == []
    finally:
        server.kill()
        server.wait()
