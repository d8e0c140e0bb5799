"""The volume-shadow check against containers, images and volumes as the engine really has them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from disinto_tui.adapters.engine import Engine as Client
from disinto_tui.adapters.engine_look import LOOK_LABEL, age_in, looks_left, volume_content
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.shadow import Shadow
from disinto_tui.runs.shadows import shadows_of
from tests.support.engine import Engine, inspect
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


def test_data_that_down_and_up_left_behind_is_found_and_comes_back_as_written(
    stack: Stack, tmp_path: Path
) -> None:
    """The symptom of the handbook: after `down` and `up` the data is gone, and lies in a volume without a name."""
    project = f"{stack.project}-down"
    text = COMPOSE.format(project=project).replace("      - ./missing.txt:/etc/missing.txt\n", "")
    (tmp_path / "docker-compose.yml").write_text(text)
    (tmp_path / ".env").write_text(f"AGENTS_IMAGE={stack.one}\n")
    docker = stack.engine.docker
    compose = ("compose", "--project-directory", str(tmp_path), "-f", str(tmp_path / "docker-compose.yml"))
    volumes: list[str] = []
    try:
        docker(*compose, "up", "-d")
        made = stack.engine.ids("container", f"label=com.docker.compose.project={project}")[0]
        mark = "/data/mark-of-the-lost"  # newer than what others leave on this engine meanwhile
        docker("exec", made, "sh", "-c", f"echo lost >{mark}; touch -d 2040-01-01 {mark}")
        docker(*compose, "down")
        docker(*compose, "up", "-d")
        shadows = asyncio.run(shadows_of(Client(stack.engine.endpoint), Instance.at(tmp_path)))
        found = {item.kind: item for item in shadows}["adrift"]
        volumes.append(found.volume)
        assert "mark-of-the-lost" in found.text, "the newest of all there are"
        command = found.cure.partition("`docker run --rm --entrypoint cp ")[2].partition("`")[0].split()
        target = next(part.partition(":")[0] for part in command if part.endswith(":/to"))
        volumes.append(target)
        docker("run", "--rm", "--entrypoint", "cp", *command)
        shown = docker("run", "--rm", "-v", f"{target}:/x:ro", stack.one, "cat", "/x/mark-of-the-lost")
        assert shown.stdout == "lost\n"
    finally:
        docker(*compose, "down", "-v")
        docker("volume", "rm", *volumes, check=False)


def test_an_empty_directory_one_that_was_touched_and_a_tmpfs_are_no_files(
    stack: Stack, tmp_path: Path
) -> None:
    project = f"{stack.project}-empty"
    service = "services:\n  a:\n    image: {}\n    command: [sleep, '600']\n    stop_grace_period: 0s\n"
    text = f"name: {project}\n{service.format(stack.two)}    tmpfs: [/scratch]\n"
    (tmp_path / "docker-compose.yml").write_text(text)
    compose = ("compose", "--project-directory", str(tmp_path), "-f", str(tmp_path / "docker-compose.yml"))
    try:
        stack.engine.docker(*compose, "up", "-d")
        made = stack.engine.ids("container", f"label=com.docker.compose.project={project}")[0]
        script = "mkdir /bare; echo 1 >/srv/x; rm /srv/x; rm /app/lib; echo t >/scratch/t"
        stack.engine.docker("exec", made, "sh", "-c", f"mkdir -p /srv; {script}")
        look = shadows_of(Client(stack.engine.endpoint), Instance.at(tmp_path))
        assert [item.text for item in asyncio.run(look)] == []
        stack.engine.docker("exec", made, "sh", "-c", "echo 1 >/bare/x")
        look = shadows_of(Client(stack.engine.endpoint), Instance.at(tmp_path))
        assert [item.files for item in asyncio.run(look)] == [("/bare/x",)]
    finally:
        stack.engine.docker(*compose, "down", "-v")


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


def test_looking_does_not_make_a_directory_of_a_missing_file(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine mounts all that a container has when a file of it is read, and makes what is missing of it."""
    client = Client(stack.engine.endpoint)
    made = stack.engine.ids("container", f"label=com.docker.compose.project={stack.project}")[0]
    document = dict(inspect(stack.engine, "container", made))
    monkeypatch.setattr("disinto_tui.adapters.engine_look.os.access", lambda *_: False)  # as who is not root
    volume = next(item for item in document["Mounts"] if item["Destination"] == "/data")["Name"]
    read = volume_content(client, volume, document, "/data")
    assert getattr(asyncio.run(read), "newest", None) == "d", "through the container, while all is there"
    (stack.directory / "missing.txt").rmdir()
    try:
        assert stack.look()["unsaved"].files == ("/made/w",)
        assert asyncio.run(volume_content(client, volume, document, "/data")) is None
        assert asyncio.run(age_in(client, made, ["/made/w"])) is not None
        assert not (stack.directory / "missing.txt").exists()
    finally:
        (stack.directory / "missing.txt").mkdir(exist_ok=True)


def test_looking_leaves_nothing_behind_and_the_second_look_makes_nothing(stack: Stack) -> None:
    trees = stack.directory / ".disinto/cache/trees"

    def leaves_no_volume() -> bool:
        shutil.rmtree(trees, ignore_errors=True)
        volumes = set(stack.engine.ids("volume"))
        stack.look(stack.two)
        return not {name for name in set(stack.engine.ids("volume")) - volumes if len(name) == 64}

    # Others use the engine, too: what is left by us is left each time.
    assert any(leaves_no_volume() for _ in range(5))
    for image in (stack.one, stack.two):
        assert stack.engine.ids("container", f"label={LOOK_LABEL}", f"ancestor={image}") == []
    before = {path: path.stat().st_mtime_ns for path in trees.iterdir()}
    stack.look(stack.two)
    assert {path: path.stat().st_mtime_ns for path in trees.iterdir()} == before != {}


def test_a_look_that_was_killed_is_a_leftover(stack: Stack) -> None:
    made = stack.engine.docker(
        "create", "--label", stack.engine.label, "--label", f"{LOOK_LABEL}=1000", stack.one, "-"
    ).stdout.strip()
    try:
        assert made in asyncio.run(looks_left(Client(stack.engine.endpoint)))
    finally:
        stack.engine.docker("rm", "-v", made, check=False)  # a doctor elsewhere may have mended it
