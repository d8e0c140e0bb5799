"""The volume-shadow check against containers, images and volumes as the engine really has them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from disinto_tui.adapters.engine import Engine as Client
from disinto_tui.adapters.engine_look import LOOK_LABEL, looks_left
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.shadow import Shadow
from disinto_tui.runs.shadows import shadows_of
from tests.support.engine import Engine
from tests.support.registries import Registry, push_stand_ins

COMPOSE = """
name: {project}
services:
  agents:
    image: ${{AGENTS_IMAGE}}
    command: [sh, -c, "sleep 600"]
    stop_grace_period: 0s
    volumes:
      - code:/app
      - ./missing.txt:/etc/missing.txt
volumes:
  code: {{}}
"""


@dataclass
class Stack:
    """A stack of one service: version 1 declares /data and carries code at /app, where a volume is mounted."""

    engine: Engine
    directory: Path
    project: str
    one: str
    two: str

    def look(self, image: str = "") -> dict[str, Shadow]:
        """What is found, by kind."""
        found = asyncio.run(shadows_of(Client(self.engine.endpoint), Instance.at(self.directory), image))
        return {item.kind: item for item in found}


@pytest.fixture(scope="module")
def stack(engine: Engine, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Up, with data in the anonymous volume, in the container's own layer, and a directory Docker made."""
    base = push_stand_ins(registry)["busybox"]
    directory = tmp_path_factory.mktemp("shadows")
    project = f"{engine.prefix}-shadows"
    names = [f"{project}/agents:v{number}" for number in (1, 2)]
    for number, name in enumerate(names, 1):
        # v2 declares nothing, and its code is another; no build is needed to say so.
        volume = ["--change", "VOLUME /data"] if number == 1 else []
        script = f"mkdir /app /data; echo {number} >/app/main; echo same >/app/lib"
        made = engine.docker("run", "-d", "--label", engine.label, base, "sh", "-c", script).stdout.strip()
        engine.docker("wait", made)
        engine.docker("commit", *volume, made, name)
        engine.docker("rm", "-v", made)
    (directory / "docker-compose.yml").write_text(COMPOSE.format(project=project))
    (directory / ".env").write_text(f"AGENTS_IMAGE={names[0]}\n")
    (directory / ".disinto").mkdir()
    compose = ("compose", "--project-directory", str(directory), "-f", str(directory / "docker-compose.yml"))
    engine.docker(*compose, "up", "-d")
    container = engine.ids("container", f"label=com.docker.compose.project={project}")[0]
    engine.docker("exec", container, "sh", "-c", "echo precious >/data/d; mkdir /made; echo w >/made/w")
    yield Stack(engine, directory, project, *names)
    engine.remove(f"label=com.docker.compose.project={project}")
    engine.docker("rmi", *names, check=False)


def test_data_of_a_declared_path_is_found_with_its_size_and_newest_file(stack: Stack) -> None:
    shadow = stack.look()["unmounted"]
    assert (shadow.path, shadow.severity, len(shadow.volume)) == ("/data", "problem", 64)
    assert shadow.content is not None
    assert (shadow.content.files, shadow.content.size, shadow.content.newest) == (1, 9, "d")
    assert f"-v {shadow.volume}:/from:ro" in shadow.cure


def test_the_way_to_move_the_data_works_as_written(stack: Stack) -> None:
    shadow = stack.look()["unmounted"]
    command = shadow.cure.partition("`docker ")[2].partition("`")[0].split()
    target = next(part.partition(":")[0] for part in command if part.endswith(":/to"))
    try:
        stack.engine.docker(*command)
        shown = stack.engine.docker("run", "--rm", "-v", f"{target}:/x:ro", stack.one, "cat", "/x/d")
        assert shown.stdout == "precious\n"
    finally:
        stack.engine.docker("volume", "rm", target)


def test_a_version_that_drops_the_volume_would_leave_its_data_behind(stack: Stack) -> None:
    found = stack.look(stack.two)
    assert (found["dropped"].path, found["dropped"].severity) == ("/data", "problem")
    assert "unmounted" not in found


def test_a_volume_over_the_code_hides_what_the_other_version_changes(stack: Stack) -> None:
    assert set(stack.look()["hidden"].files) == {"main", "lib"}
    assert stack.look(stack.two)["hidden"].files == ("main",)


def test_what_was_written_to_no_mount_is_found(stack: Stack) -> None:
    assert stack.look()["unsaved"].files == ("/made/w",)


def test_the_directory_that_docker_made_of_a_missing_file_is_found(stack: Stack) -> None:
    shadow = stack.look()["mix-up"]
    assert shadow.path == "/etc/missing.txt"
    assert "is an empty directory" in shadow.text
    (stack.directory / "missing.txt").rmdir()
    try:
        assert stack.look()["source-missing"].severity == "problem"
    finally:
        (stack.directory / "missing.txt").mkdir()


def test_looking_leaves_nothing_behind_and_the_second_look_makes_nothing(stack: Stack) -> None:
    stack.look(stack.two)
    volumes = set(stack.engine.ids("volume"))
    listed = sorted((stack.directory / ".disinto/cache/trees").iterdir())
    before = [path.stat().st_mtime_ns for path in listed]
    stack.look(stack.two)
    assert stack.engine.ids("container", f"label={LOOK_LABEL}") == []
    assert {name for name in set(stack.engine.ids("volume")) - volumes if len(name) == 64} == set()
    assert [path.stat().st_mtime_ns for path in listed] == before


def test_a_look_that_was_killed_is_a_leftover(stack: Stack) -> None:
    made = stack.engine.docker(
        "create", "--label", stack.engine.label, "--label", f"{LOOK_LABEL}=1000", stack.one, "-"
    ).stdout.strip()
    try:
        assert made in asyncio.run(looks_left(Client(stack.engine.endpoint)))
    finally:
        stack.engine.docker("rm", "-v", made)
