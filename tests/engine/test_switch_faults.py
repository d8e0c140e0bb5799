"""A switch while the ground gives way: the engine ends, a disk fills, a registry dies in the middle of a layer.

On an engine of this file's own, so that nobody else's containers end with it. After each fault the pin is what
runs, the data in the named volumes is what it was, and no volume without a name is left behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engine.test_switch import planned
from tests.support.engine import Engine
from tests.support.factory import QUICK, Factory, Said, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state
from tests.support.own_engine import OwnEngine, SmallDisk, impossible, own_engine
from tests.support.processes import poll
from tests.support.registries import open_registry, push_samples, push_stand_ins, registry_binary
from tests.support.slow_proxy import SlowProxy, slow_proxy

PATIENCE = 600.0
REPOSITORY = "faults/agents"
NO_PORTS = dict.fromkeys(("http", "https", "forge", "ci"), 0)
SLOW = 256 * 1024
"""Bytes a second of a registry that is to be caught in the middle of a layer."""

# The run's own process, with the patience it has and what it does at a step's start given from outside.
RUN = """
import asyncio, json, sys
from pathlib import Path
from disinto_tui.adapters.journal import RunDir
from disinto_tui.runs import health, launch

if sys.argv[2]:
    health.AWAY_SECONDS = float(sys.argv[2])
sys.exit(launch.main([sys.argv[1]]))
"""


@dataclass
class Ground:
    """A running factory on its own engine, and the registry behind a proxy."""

    own: OwnEngine
    factory: Factory
    proxy: SlowProxy
    registry: str
    instance: SmallDisk
    made: int = 0

    def docker(self, *argv: str) -> str:
        return self.own.engine.docker(*argv).stdout.strip()

    def push(self, *options: str) -> str:
        """A version that nobody has pulled yet."""
        self.made += 1
        version = f"v0.5.{self.made}"
        push_samples(self.registry, [version], repository=REPOSITORY, options=options)
        return version

    def reference(self, version: str) -> str:
        return f"{self.proxy.address}/{REPOSITORY}:{version}"

    def use(self, version: str, *more: str) -> Said:
        return self.factory.cli("use", version, "--yes", "--soak", "1", *more, timeout=PATIENCE)

    def env(self) -> bytes:
        return (self.factory.directory / ".env").read_bytes()

    def pinned(self) -> str:
        return next(
            line.partition("=")[2]
            for line in self.env().decode().splitlines()
            if line.startswith("AGENTS_IMAGE=")
        ).rpartition(":")[2]

    def data(self) -> dict[str, str]:
        """What is in the named volumes: every file with owner, mode and content; a log only grows."""
        found: dict[str, str] = {}
        volumes = self.own.disk.path / "volumes"
        for volume in sorted(volumes.glob(f"{self.factory.project}_*")):
            for path in sorted((volume / "_data").rglob("*")):
                if path.is_file() and path.name != "agent-entrypoint.log":
                    state = path.stat()
                    content = hashlib.sha256(path.read_bytes()).hexdigest()
                    found[str(path.relative_to(volumes))] = f"{state.st_uid} {state.st_mode:o} {content}"
        return found

    def nameless(self) -> set[str]:
        """Volumes that nobody gave a name."""
        return {name for name in self.own.engine.ids("volume") if len(name) == 64}

    def containers(self) -> dict[str, str]:
        """Every container's name and state."""
        lines = self.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
        return dict(line.split() for line in lines)

    def image_of(self, service: str) -> str:
        return self.docker("inspect", f"{self.factory.project}-{service}", "--format", "{{.Image}}")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Ground]:
    """Engine, registry and factory, on v0.2.0, with data in its volumes."""
    if impossible() or registry_binary() is None:
        pytest.skip(f"no Docker Engine answers: {impossible() or 'there is no docker-registry'}")
    project = f"{engine.prefix}-faults"
    with (
        own_engine(engine.session, mib=96) as own,
        open_registry(tmp_path_factory.mktemp("registry")) as registry,
        slow_proxy(registry.address) as proxy,
        ForgeDouble(default_state()) as forge,
    ):
        home = own.directory / "home"
        home.mkdir()
        push_samples(registry, ["v0.1.0", "v0.2.0"], repository=REPOSITORY)
        stand_ins = {
            name: reference.replace(registry.address, proxy.address)
            for name, reference in push_stand_ins(registry).items()
        }
        repository = f"{proxy.address}/{REPOSITORY}"
        text = config_text(project, repository, forge.url, stand_ins, ports=NO_PORTS)
        factory = new_factory(home, own.endpoint, project, text, warm=True)
        instance = SmallDisk(factory.directory, 8)
        try:
            (factory.directory / "docker-compose.override.yml").write_text(QUICK)
            said = factory.init(timeout=PATIENCE)
            assert said.code == 0, said.err
            made = Ground(own, factory, proxy, registry.address, instance)
            for place in ("data", "repos"):
                blob = home / "blob"
                blob.write_bytes(os.urandom(65536))
                made.docker("cp", str(blob), f"{project}-agents:/home/agent/{place}/precious")
            yield made
        finally:
            own.end_containers()  # they hold the instance's disk
            instance.end()


@pytest.fixture(autouse=True)
def nothing_lost(ground: Ground) -> Iterator[None]:
    """Before and after each test: the pin is what runs, the data is what it was, no volume is too many."""
    data, nameless = ground.data(), ground.nameless()
    assert data, "there must be data to lose"
    yield
    ground.proxy.rate = 0
    sound(ground)
    assert ground.data() == data
    assert ground.nameless() == nameless


def sound(ground: Ground, version: str | None = None) -> None:
    """What is pinned runs (that version, when one is named), healthy and alone; everything else is up too."""
    status = ground.factory.cli("status", "--offline", "--json")
    assert status.document.get("running_versions") == [version or ground.pinned()], status
    assert ground.pinned() == (version or ground.pinned())
    assert status.code == 0, status.out
    names = {f"{ground.factory.project}-{service}" for service in ("agents", "edge", "staging-1")}
    assert ground.containers() == dict.fromkeys(names, "running")


class Run:
    """A run's process, watched from outside."""

    def __init__(self, factory: Factory, run: Path, *, patience: str = "") -> None:
        self.path = run
        self._factory = factory
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(run), patience],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=factory.cli.environment(),
            start_new_session=True,
        )

    def events(self) -> list[dict[str, Any]]:
        try:
            lines = (self.path / "events.ndjson").read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith(b"}")]

    def until(self, seen: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for an event of the run."""
        assert poll(PATIENCE, lambda: any(map(seen, self.events())) or self.process.poll() is not None)
        assert any(map(seen, self.events())), self.log()

    def at_step(self, step: str) -> None:
        self.until(lambda event: event.get("step") == step and event["kind"] == "step_started")

    def in_a_layer(self) -> None:
        """Bytes have come, and not all of them."""
        self.until(
            lambda event: (
                event["kind"] == "progress" and event["unit"] == "B" and 0 < event["current"] < event["total"]
            )
        )

    def end(self) -> int:
        """Wait for its end; its exit code."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        self.words = out.decode()
        return self.process.returncode

    def log(self) -> str:
        path = self.path / "log"
        return path.read_text() if path.exists() else ""

    def said(self) -> Said:
        """What whoever attaches to it later is told."""
        return self._factory.cli("attach", self.path.name)


# -- the engine ends ---------------------------------------------------------------------------------------------


def restart(ground: Ground, way: str) -> None:
    """End the engine and start it again."""
    getattr(ground.own, way)()
    ground.own.start()


def others_up(ground: Ground) -> None:
    """What the switch has no say in: a killed engine that comes back leaves `unless-stopped` down (20.10), and
    staging has no restart policy at all."""
    said = ground.factory.cli("up", "--yes", timeout=PATIENCE)
    assert said.code == 0, said.err


@pytest.mark.slow
@pytest.mark.parametrize("way", ["kill", "stop"])
def test_an_engine_restarted_in_the_middle_of_the_pull(ground: Ground, way: str) -> None:
    """Nothing was changed yet: the run ends, says that the engine went away, and can be had again."""
    version = ground.push("--payload-kib", "1024")
    before, env = ground.pinned(), ground.env()
    run = Run(ground.factory, planned(ground.factory, "use", version, "--yes"))
    ground.proxy.rate = SLOW
    run.in_a_layer()
    restart(ground, way)
    assert run.end() == 3, run.log()
    said = run.said()
    assert said.code == 3 and "ngine" in said.err, said.err
    assert ground.env() == env
    others_up(ground)
    again(ground, version, before)


def again(ground: Ground, version: str, before: str) -> None:
    """Nothing was changed, and now that the fault is gone the same command does what it says."""
    ground.proxy.rate = 0
    sound(ground, before)
    said = ground.use(version)
    assert said.code == 0, said.err
    sound(ground, version)


@pytest.mark.parametrize("way", ["stop", pytest.param("kill", marks=pytest.mark.slow)])
def test_an_engine_restarted_while_the_services_are_watched(ground: Ground, way: str) -> None:
    """It is waited for, and judged anew: the switch comes to its end."""
    version = ground.push()
    run = Run(ground.factory, planned(ground.factory, "use", version, "--yes", "--soak", "1"))
    run.at_step("watch")
    restart(ground, way)
    assert run.end() == 0, run.log()
    away = "It is waited for" in run.log() and "The engine answers again" in run.log()
    assert away or "The engine was started anew meanwhile." in run.log()  # it may be back before it is missed
    others_up(ground)
    sound(ground, version)


@pytest.mark.slow
def test_an_engine_restarted_in_the_middle_of_the_recreate(ground: Ground) -> None:
    """What was under way is not known; the run waits for the engine, goes back, and the way back is watched."""
    version, before = ground.push(), ground.pinned()
    run = Run(ground.factory, planned(ground.factory, "use", version, "--yes", "--soak", "1"))
    assert poll(PATIENCE, lambda: "-agents  Recreate" in run.log())
    restart(ground, "kill")
    code = run.end()
    assert code in (0, 1, 3), run.log()  # 0: the engine was back before Compose had missed it
    others_up(ground)
    sound(ground, version if code == 0 else before)


def test_an_engine_that_stays_away_and_the_run_says_what_it_left(ground: Ground) -> None:
    """No way forward and none back: the error says so, and the way back works when the engine is there."""
    version, before = ground.push(), ground.pinned()
    run = Run(ground.factory, planned(ground.factory, "use", version, "--yes"), patience="1")
    run.at_step("watch")
    ground.own.stop()
    assert run.end() == 1, run.log()
    said = run.said()
    assert said.code == 1
    assert "Going back failed too" in said.err and "disinto resume --undo" in said.err
    assert ground.pinned() == before
    ground.own.start()
    back = ground.factory.cli("resume", "--undo", "--yes", timeout=PATIENCE)
    assert back.code == 0, back.err
    others_up(ground)
    sound(ground, before)


@pytest.mark.slow
def test_a_run_that_ends_with_the_engine_is_finished_later(ground: Ground) -> None:
    """The host goes down: run and engine are gone at once."""
    version = ground.push()
    run = Run(ground.factory, planned(ground.factory, "use", version, "--yes", "--soak", "1"))
    run.at_step("watch")
    run.process.kill()
    ground.own.kill()
    run.end()
    ground.own.start()
    said = ground.factory.cli("resume", "--yes", timeout=PATIENCE)
    assert said.code == 0, said.err
    others_up(ground)
    sound(ground, version)


# -- a registry dies ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_registry_that_dies_in_the_middle_of_a_layer(ground: Ground) -> None:
    """Connections are cut while bytes stream, and nobody answers afterwards."""
    version, before, env = ground.push("--payload-kib", "2048"), ground.pinned(), ground.env()
    run = Run(ground.factory, planned(ground.factory, "use", version, "--yes"))
    ground.proxy.rate = SLOW
    run.in_a_layer()
    ground.proxy.cut()
    try:
        assert run.end() == 3, run.log()
        said = run.said()
        assert "The registry did not answer, or broke off." in said.err
        assert ground.env() == env
        gone = ground.use(version)
        assert gone.code == 3, gone.err
    finally:
        ground.proxy.open()
    again(ground, version, before)


# -- a disk fills ------------------------------------------------------------------------------------------------

MIB = 1024 * 1024


def test_an_image_that_cannot_fit_is_not_begun(ground: Ground) -> None:
    """Its size is known, so the disk is asked before anything is done."""
    version, before, env = ground.push("--payload-kib", "3072"), ground.pinned(), ground.env()
    ground.own.disk.fill(leave=5 * MIB)
    try:
        said = ground.use(version)
    finally:
        ground.own.disk.relieve()
    assert said.code == 4, said.err
    assert "There is not enough room for the images." in said.err
    assert "About 9 MB are needed" in said.err and "5 are free" in said.err
    assert ground.env() == env
    sound(ground, before)


def test_the_disk_of_the_engine_fills_during_the_pull(ground: Ground) -> None:
    """There was room when it was asked for."""
    version, before, env = ground.push("--payload-kib", "3072"), ground.pinned(), ground.env()
    path = planned(ground.factory, "use", version, "--yes")
    ground.own.disk.fill(leave=2 * MIB)
    try:
        run = Run(ground.factory, path)
        assert run.end() == 1, run.log()
    finally:
        ground.own.disk.relieve()
    told = run.events()[-1]
    assert told["kind"] == "run_ended" and told["error"]["code"] == "disk.full"
    said = run.said()
    assert "The disk of the engine is full." in said.err and "Free some space" in said.err
    assert ground.env() == env
    again(ground, version, before)


@pytest.mark.slow
def test_the_disk_of_the_engine_is_full_when_the_container_is_made(ground: Ground) -> None:
    """The image is here, the pin is written, and then there is no room for a container: it goes back."""
    version, before, env = ground.push(), ground.pinned(), ground.env()
    ground.docker("pull", "-q", ground.reference(version))
    path = planned(ground.factory, "use", version, "--yes")
    ground.own.disk.fill()
    try:
        run = Run(ground.factory, path)
        assert run.end() == 1, run.log()
    finally:
        ground.own.disk.relieve()
    assert ground.env() == env, run.log()
    again(ground, version, before)


def test_the_disk_of_the_instance_fills_before_the_pin_is_written(ground: Ground) -> None:
    """Room for the journal and none for `.env`: it is as it was, and so is everything else."""
    version, before = ground.push(), ground.pinned()
    file = ground.factory.directory / ".env"
    small = ground.env()
    padded = small + b"# " + b"x" * 400_000 + b"\n"
    file.write_bytes(padded)
    try:
        path = planned(ground.factory, "use", version, "--yes")
        ground.instance.fill(leave=200_000)
        try:
            run = Run(ground.factory, path)
            assert run.end() == 1, run.log()
        finally:
            ground.instance.relieve()
        told = run.events()[-1]
        assert told["state"] == "undone" and told["error"]["code"] == "disk.full"
        assert ".env could not be written. The disk is full. Free some space" in " ".join(
            run.said().err.split()
        )
        assert ground.env() == padded
        assert not list(ground.factory.directory.glob(".env.*"))
        again(ground, version, before)
    finally:
        file.write_bytes(ground.env().replace(padded[len(small) :], b""))
    assert len(ground.env()) == len(small)


def test_the_disk_of_the_instance_is_full_to_the_last_byte(ground: Ground) -> None:
    """Not even a journal can be kept: it is not begun."""
    version, before, env = ground.push(), ground.pinned(), ground.env()
    ground.instance.fill()
    try:
        said = ground.use(version)
    finally:
        ground.instance.relieve()
    assert said.code == 1, said.err
    assert "The disk is full." in said.err
    assert ground.env() == env
    sound(ground, before)
