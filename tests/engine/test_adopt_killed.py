"""An adoption killed (SIGKILL) where it hurts: as data is copied, as files are written, as containers change."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.core.events import RunEnded
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.ops_adopt import copied
from disinto_tui.runs.ops_files import replacement
from disinto_tui.runs.runner import execute
from tests.engine.test_old_stack import NEW, OLD, Stack, stack
from tests.support.engine import ROOT

__all__ = ["stack"]
pytestmark = pytest.mark.slow


def adoption(stack: Stack, container: dict[str, Any]) -> RunDir:
    """The steps of an adoption of Forgejo alone, planned and confirmed."""
    target = f"{stack.project}_forgejo-data"
    rescue = {
        "service": "forgejo",
        "container": container["Id"],
        "path": "/data",
        "volume": "forgejo-data",
        "target": target,
        "image": container["Image"],
        "running": True,
        "source": "x",
    }
    data = Step("data-0", "t", "rescue-data", rescue, atomic=True)
    before = {
        "files": [str(stack.instance.path / "docker-compose.yml")],
        "images": {"forgejo": [stack.image, container["Image"]]},
        "ids": {"forgejo": container["Id"]},
        "live": ["forgejo"],
        "there": ["forgejo"],
        "well": ["forgejo"],
        "data": copied([data]),
    }
    new = NEW.format(image=stack.image, project=stack.project).encode()
    files = [
        replacement(stack.instance, ".env", b"A=2\n", "600"),
        replacement(stack.instance, "docker-compose.yml", new, "644"),
    ]
    steps = (
        Step("before", "t", "old-stack", before, writes=False),
        Step("originals", "t", "keep-originals", {"files": [item["path"] for item in files]}),
        data,
        Step("directories", "t", "directories", {"directories": [{"path": "site", "mode": "755"}]}),
        Step("files", "t", "files", {"files": files}),
        Step("up", "t", "up", {"services": ["forgejo"]}, atomic=True),
        Step("healthy", "t", "healthy", {"services": ["forgejo"], "timeout": 30}, writes=False),
    )
    plan = Plan(
        "adopt", "t", str(stack.instance.path), stack.project, stack.engine.endpoint, steps, on_failure="undo"
    )
    return create_run(stack.instance, plan, {".env": b"A=2\n", "docker-compose.yml": new})


@pytest.mark.parametrize(
    ("when", "undo"),
    [
        ({"after": "disinto_tui.adapters.engine_copy:VolumeHelper.fill_from"}, True),
        ({"line": "wrote .env"}, True),
        ({"line": "wrote docker-compose.yml"}, False),
        ({"line": "Container .*forgejo.* Recreate$"}, True),
        ({"line": "Container .*forgejo.* Recreate$"}, False),
        ({"after": "disinto_tui.runs.ops_stack:Up.run"}, True),
    ],
    ids=["copied", "file", "files", "recreate-undo", "recreate-finish", "up"],
)
def test_a_killed_adoption_is_finished_or_taken_back_and_no_data_is_out_of_sight(
    stack: Stack, when: dict[str, Any], undo: bool
) -> None:
    stack.compose(OLD, "up", "-d", "forgejo")
    (stack.instance.path / ".env").write_bytes(b"A=1\n")
    old = (stack.instance.path / "docker-compose.yml").read_bytes()
    stack.sh("mkdir -p /data && echo precious >/data/file")
    run = adoption(stack, stack.container("forgejo"))
    killed = subprocess.run(
        [sys.executable, "-m", "tests.support.kill_run", str(run.path), json.dumps(when)],
        input="{}\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**stack.engine.environment(), "PYTHONPATH": str(ROOT)},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    asyncio.run(execute(run, stack.instance, OPERATIONS, undo=undo))
    ended = next(event for event in reversed(run.events()) if isinstance(event, RunEnded))
    assert ended.state == ("undone" if undo else "done"), ended.error
    now = {path.name: path.read_bytes() for path in stack.instance.path.iterdir() if path.is_file()}
    assert (now == {".env": b"A=1\n", "docker-compose.yml": old}) == undo
    assert (stack.instance.path / "site").exists() != undo
    assert stack.running() == ["forgejo"]
    assert stack.sh("cat /data/file; echo $WHICH") == f"precious\n{'old' if undo else 'new'}\n"
    names: list[Path] = [path for path in stack.instance.path.iterdir() if path.name.endswith(".new")]
    assert names == []
