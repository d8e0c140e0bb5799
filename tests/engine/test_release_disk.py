"""A release whose disk fills up in the middle of the build: the engine's, or the factory's own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.factory import Factory, Said, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, default_state
from tests.support.git_server import checkout, commit
from tests.support.own_engine import OwnEngine, SmallDisk, impossible, own_engine
from tests.support.registries import Registry, open_registry, registry_binary

pytestmark = pytest.mark.slow

MIB = 1 << 20
DOCKERFILE = "FROM scratch\nCOPY . /app/\n"
NAMES_ONLY = dict.fromkeys(
    ("web", "busybox", "forgejo", "woodpecker", "woodpecker-agent"), "registry.invalid/x:1"
)


@dataclass
class Ground:
    """A host that builds and publishes, and runs no factory; its disks are small."""

    own: OwnEngine
    factory: Factory
    instance: SmallDisk
    tree: Path
    forge: ForgeDouble
    registry: Registry

    def release(self, version: str) -> Said:
        argv = ("release", version, "--checkout", str(self.tree), "--yes")
        return self.factory.cli(*argv)

    def resume(self) -> Said:
        return self.factory.cli("resume", "--yes")

    def result(self, version: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(
            (self.factory.directory / "release" / f"{version}.json").read_text()
        )
        return found

    def cut(self, version: str) -> None:
        """A version of some megabytes that do not shrink."""
        payload = secrets.token_hex(2 * MIB)
        sha = commit(self.tree, {"VERSION": f"{version[1:]}\n", "payload": payload})
        repo = self.forge.state.repo("acme", "shop")
        assert repo is not None
        repo.branches["main"].append(sha)


@pytest.fixture(scope="module")
def ground(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    if impossible() or registry_binary() is None:
        pytest.skip(f"no Docker Engine answers: {impossible() or 'there is no docker-registry'}")
    with (
        own_engine(engine.session, mib=64) as own,
        open_registry(tmp_path_factory.mktemp("registry")) as registry,
        ForgeDouble(default_state()) as forge,
    ):
        home = own.directory / "home"
        home.mkdir()
        text = config_text("disk", f"{registry.address}/x/agents", forge.url, NAMES_ONLY)
        factory = new_factory(home, own.endpoint, "disk", text)
        instance = SmallDisk(factory.directory, 16)
        try:
            (factory.directory / "projects").mkdir()
            (factory.directory / "projects" / "shop.toml").write_text(text)
            (factory.directory / ".env").write_text(f"FORGE_TOKEN={ADMIN_TOKEN}\n")
            tree = checkout(home / "tree")
            commit(tree, {"docker/agents/Dockerfile": DOCKERFILE})
            yield Ground(own, factory, instance, tree, forge, registry)
        finally:
            instance.end()


@pytest.mark.parametrize("whose", ["engine", "factory"])
def test_a_disk_that_is_full_during_the_build(ground: Ground, whose: str) -> None:
    """The step fails and says so, nothing is published, and with room it goes on."""
    version = {"engine": "v0.4.0", "factory": "v0.4.1"}[whose]
    ground.cut(version)
    disk = ground.own.disk if whose == "engine" else ground.instance
    disk.fill(leave=3 * MIB)
    try:
        said = ground.release(version)
    finally:
        disk.relieve()
    assert said.code == 1, said.err
    assert ("The disk of the engine is full." if whose == "engine" else "The disk is full.") in said.err
    assert "Free some space" in said.err
    result = ground.result(version)
    assert (result["failed_step"], result["pushed"]) == ("build-image", False)
    assert isinstance(result["error"], dict) and result["error"]["code"] == "disk.full"
    assert not list(ground.factory.directory.glob(".disinto/runs/*/export*"))
    again = ground.resume()
    assert again.code == 0, again.err
    assert ground.result(version)["status"] == "success"
