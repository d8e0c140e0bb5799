"""The way back to an old stack: its own containers, its images, and its data also where no container is left."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import create_run
from disinto_tui.core.events import RunEnded
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.runner import execute
from tests.engine.conftest import SampleImages
from tests.support.engine import Engine, inspect

OLD = """services:
  forgejo:
    image: {image}
    environment: {{WHICH: old}}
  idle:
    image: {image}
"""
NEW = """services:
  forgejo:
    image: {image}
    environment: {{WHICH: new}}
    volumes: ["forgejo-data:/data"]
  idle:
    image: {image}
  more:
    image: {image}
    profiles: [mine]
volumes:
  forgejo-data:
    name: {project}_forgejo-data
    external: true
"""


@dataclass
class Stack:
    """A project of two files: the old one names no volume at /data, the new one does."""

    engine: Engine
    project: str
    instance: Instance
    image: str

    def compose(self, file: str, *argv: str) -> None:
        (self.instance.path / "docker-compose.yml").write_text(
            file.format(image=self.image, project=self.project)
        )
        done = subprocess.run(
            ["docker", "compose", "-p", self.project, *argv],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.instance.path,
            env=self.engine.environment(),
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr

    def container(self, service: str) -> dict[str, Any]:
        return inspect(self.engine, "container", f"{self.project}-{service}-1")

    def sh(self, script: str) -> str:
        return self.engine.docker("exec", f"{self.project}-forgejo-1", "sh", "-c", script).stdout

    def running(self) -> list[str]:
        label = f"label=com.docker.compose.project={self.project}"
        form = '{{.Label "com.docker.compose.service"}}'
        return sorted(self.engine.docker("ps", "--filter", label, "--format", form).stdout.split())

    def carry_out(self, op: str, params: dict[str, Any]) -> RunEnded:
        step = Step("step", "t", op, params, atomic=True)
        run = create_run(
            self.instance,
            Plan("adopt", "t", str(self.instance.path), self.project, self.engine.endpoint, (step,)),
        )
        asyncio.run(execute(run, self.instance, OPERATIONS))
        ended = next(event for event in reversed(run.events()) if isinstance(event, RunEnded))
        assert ended.state == "done", ended.error
        return ended


@pytest.fixture
def stack(engine: Engine, sample_images: SampleImages, project: str, tmp_path: Path) -> Iterator[Stack]:
    image = sample_images.stand_ins["forgejo"]
    engine.docker("pull", "--quiet", image)
    yield Stack(engine, project, Instance.at(tmp_path), image)
    engine.docker("volume", "rm", "-f", f"{project}_forgejo-data", check=False)


@pytest.mark.slow
def test_the_old_stack_runs_from_its_own_file_and_with_its_data_although_images_are_the_same(
    stack: Stack,
) -> None:
    """As after an adoption of a stack that goes on with the image it ran; and once more after a `down`."""
    stack.compose(OLD, "up", "-d", "forgejo")
    stack.compose(OLD, "create", "idle")
    stack.sh("mkdir -p /data && echo precious >/data/file")
    first = stack.container("forgejo")
    target = f"{stack.project}_forgejo-data"
    copy = {"service": "forgejo", "container": first["Id"], "path": "/data", "target": target}
    stack.carry_out(
        "rescue-data",
        {**copy, "volume": "forgejo-data", "image": first["Image"], "running": True, "source": "x"},
    )
    stack.compose(NEW, "config", "-q")
    stack.carry_out("up", {"services": ["forgejo", "more"]})
    assert stack.running() == ["forgejo", "more"]  # named, whatever its profile
    assert stack.sh("cat /data/file; echo $WHICH") == "precious\nnew\n"
    stack.sh("echo later >/data/later")
    back = {
        "files": [str(stack.instance.path / "docker-compose.yml")],
        "images": {"forgejo": [stack.image, first["Image"]]},
        "ids": {},
        "live": ["forgejo"],
        "there": ["forgejo", "idle"],
        "well": ["forgejo"],
        "data": [copy],
        "act": True,
    }
    for _ in range(2):
        stack.compose(OLD, "config", "-q")
        stack.carry_out("old-stack", back)
        assert stack.sh("cat /data/file /data/later; echo $WHICH") == "precious\nlater\nold\n"
        assert stack.running() == [
            "forgejo"
        ]  # neither what only had a container, nor what is of the new stack
        # A container that is made from the old file alone gets the volume of the one before.
        stack.compose(OLD, "down", "-t", "1")
