"""Data that lies in an anonymous volume is copied into the named one, compared, and never mixed with other data."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters import engine_copy as copying
from disinto_tui.adapters.engine import Engine as OurEngine
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.core.events import RunEnded, StepEnded
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.runner import execute
from tests.engine.conftest import SampleImages
from tests.support.engine import Engine, inspect

FILL = (
    "cd /data && mkdir -p 'a b'/c && echo one >'a b'/c/f && echo two >top && ln -s top link && ln top hard"
    " && chown 1000:7 top && chmod 600 top && mkdir empty && chmod 700 empty"
    " && chown 1000:1000 /data && chmod 750 /data"
)


@pytest.fixture
def container(engine: Engine, sample_images: SampleImages, project: str) -> Iterator[dict[str, Any]]:
    """A running container of the project, of a service `forgejo`, with data in an anonymous volume at /data."""
    image = sample_images.stand_ins["forgejo"]
    engine.docker("pull", "--quiet", image)
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.service": "forgejo",
        "com.docker.compose.oneoff": "False",
    }
    options = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
    made = engine.docker(
        "run", "-d", "--network", "none", "--label", engine.label, "-v", "/data", *options, image
    ).stdout.strip()
    engine.docker("exec", made, "sh", "-c", FILL)
    yield inspect(engine, "container", made)
    engine.docker("rm", "-fv", made, check=False)
    engine.docker("volume", "rm", f"{project}_forgejo-data", check=False)


def prepared(instance: Instance, engine: Engine, project: str, container: dict[str, Any]) -> RunDir:
    params = {
        "service": "forgejo",
        "container": container["Id"],
        "path": "/data",
        "volume": "forgejo-data",
        "target": f"{project}_forgejo-data",
        "image": container["Image"],
        "running": True,
        "source": "x",
    }
    step = Step("data", "Copy", "rescue-data", params, atomic=True)
    plan = Plan("adopt", "t", str(instance.path), project, engine.endpoint, (step,), on_failure="undo")
    return create_run(instance, plan)


def carried_out(run: RunDir, instance: Instance, *, undo: bool = False) -> RunEnded:
    asyncio.run(execute(run, instance, OPERATIONS, undo=undo))
    return next(event for event in reversed(run.events()) if isinstance(event, RunEnded))


def test_it_is_copied_whole_and_again_costs_nothing(
    engine: Engine, project: str, container: dict[str, Any], tmp_path: Path
) -> None:
    instance = Instance.at(tmp_path)
    run = prepared(instance, engine, project, container)
    assert carried_out(run, instance).state == "done"
    target = f"{project}_forgejo-data"
    ours = OurEngine(engine.endpoint)

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        wanted = await copying.manifest(ours, container["Id"], "/data")
        async with copying.VolumeHelper(ours, container["Image"], target) as helper:
            return dict(wanted or {}), dict(await helper.manifest())

    wanted, copied = asyncio.run(both())
    # The directory itself, too: who may write there is not root in every image.
    assert copied == wanted
    assert (copied[""][1] & 0o777, *copied[""][2:4]) == (0o750, 1000, 1000)
    assert {"a b/c/f", "top", "link", "hard", "empty"} <= set(copied)
    assert not inspect(engine, "container", container["Id"])["State"]["Running"]  # type: ignore[index]
    again = prepared(instance, engine, project, container)
    assert carried_out(again, instance).state == "done"
    assert "holds it already" in again.log_path.read_text()

    # Taken back, the old container goes on with its own, and the copy that this run made is away.
    assert carried_out(run, instance, undo=True).state == "undone"
    assert inspect(engine, "container", container["Id"])["State"]["Running"]  # type: ignore[index]
    assert target not in engine.ids("volume")
    assert engine.docker("exec", container["Id"], "cat", "/data/a b/c/f").stdout == "one\n"


def test_a_volume_that_holds_something_else_is_never_overwritten(
    engine: Engine, project: str, container: dict[str, Any], tmp_path: Path
) -> None:
    target = f"{project}_forgejo-data"
    engine.docker("volume", "create", "--label", engine.label, target)
    other = engine.docker(
        "run", "-d", "--network", "none", "--label", engine.label, "-v", f"{target}:/v", container["Image"]
    ).stdout.strip()
    engine.docker("exec", other, "sh", "-c", "echo theirs >/v/precious")
    instance = Instance.at(tmp_path)
    run = prepared(instance, engine, project, container)
    ended = carried_out(run, instance)
    assert ended.error is not None and ended.error["code"] == "adopt.two_data"
    assert engine.docker("exec", other, "cat", "/v/precious").stdout == "theirs\n"
    # It went back by itself: the old container runs, and nothing was removed.
    assert inspect(engine, "container", container["Id"])["State"]["Running"]  # type: ignore[index]
    assert target in engine.ids("volume")
    engine.docker("rm", "-f", other)


def test_a_container_that_somebody_recreated_meanwhile_is_not_guessed_at(
    engine: Engine, project: str, container: dict[str, Any], tmp_path: Path
) -> None:
    instance = Instance.at(tmp_path)
    run = prepared(instance, engine, project, container)
    engine.docker("rm", "-f", container["Id"])
    ended = carried_out(run, instance)
    assert ended.error is not None and ended.error["code"] == "adopt.moved"
    assert f"{project}_forgejo-data" not in engine.ids("volume")
    states = [event.state for event in run.events() if isinstance(event, StepEnded)]
    assert "failed" in states and json.dumps(ended.error)


KILLED = """
import os, signal, sys
from pathlib import Path
from disinto_tui.adapters import engine_copy
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.runner import execute
import asyncio

def given(chunks):
    for chunk in chunks:
        yield chunk[:1024]  # a beginning of what should have come
        os.kill(os.getpid(), signal.SIGKILL)

engine_copy._given = given
asyncio.run(execute(RunDir(Path(sys.argv[1])), Instance.at(sys.argv[2]), OPERATIONS))
"""


@pytest.mark.parametrize("undo", [False, True], ids=["finish", "undo"])
def test_a_kill_in_the_middle_of_the_copy_is_finished_or_taken_back(
    engine: Engine, project: str, container: dict[str, Any], tmp_path: Path, undo: bool
) -> None:
    """Half a copy and the helper of the dead run are in the way of neither."""
    instance, target = Instance.at(tmp_path), f"{project}_forgejo-data"
    run = prepared(instance, engine, project, container)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(run.path), str(tmp_path)], check=False, env=engine.environment()
    )
    assert killed.returncode == -signal.SIGKILL
    helpers = ("label=io.disinto.helper=copy", f"volume={target}")
    assert engine.ids("container", *helpers)
    other = engine.docker(
        "run", "-d", "--network", "none", "--label", engine.label, "-v", f"{target}:/v", container["Image"]
    )
    engine.docker("exec", other.stdout.strip(), "sh", "-c", "echo half >/v/half")
    engine.docker("rm", "-f", other.stdout.strip())
    ended = carried_out(run, instance, undo=undo)
    assert ended.error is None, ended.error
    assert not engine.ids("container", *helpers)
    if undo:
        assert target not in engine.ids("volume")
        assert engine.docker("exec", container["Id"], "cat", "/data/a b/c/f").stdout == "one\n"
    else:
        assert "begun anew" in run.log_path.read_text() and "compared, the same" in run.log_path.read_text()
