"""A factory whose `.env` is sealed by sops (a double of it): every command works, and no clear text lies anywhere."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import SampleImages
from tests.engine.test_init_killed import KILLER
from tests.engine.test_switch import planned
from tests.support.engine import Engine, inspect
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, default_state
from tests.support.sealed import Sops, install

SOAK = ("--yes", "--soak", "0.2")


@pytest.fixture(scope="module")
def sops(tmp_path_factory: pytest.TempPathFactory) -> Sops:
    return install(tmp_path_factory.mktemp("sops"))


@pytest.fixture(scope="module")
def factory(
    engine: Engine, sample_images: SampleImages, sops: Sops, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Factory]:
    """Made by `init` and stopped, its `.env` sealed afterwards, every trace of the clear one removed."""
    home = tmp_path_factory.mktemp("home")
    project = f"{engine.prefix}-sealed"
    with ForgeDouble(default_state()) as forge:
        text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
        made = new_factory(home, engine.endpoint, project, text, warm=True)
        made.cli.env.update(sops.environment)
        said = made.init("--no-start")
        assert said.code == 0, said.err
        sops.seal(made.directory / ".env")
        assert lying_in_clear(made) == []
        yield made
    engine.remove(f"label=com.docker.compose.project={project}")


def lying_in_clear(factory: Factory) -> list[str]:
    """Files of the instance, the tool's own directory included, that hold the token of the forge."""
    files = [path for path in factory.directory.rglob("*") if path.is_file()]
    return [str(path) for path in files if ADMIN_TOKEN.encode() in path.read_bytes()]


def pinned(factory: Factory, sops: Sops) -> str:
    lines = sops.open(factory.directory / ".env.enc").splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("AGENTS_IMAGE="))


def running(factory: Factory) -> list[str]:
    found: list[str] = factory.cli("status", "--offline", "--json").document["running_versions"]
    return found


@pytest.fixture(autouse=True)
def never_in_clear(factory: Factory) -> Iterator[None]:
    yield
    assert lying_in_clear(factory) == []
    assert not (factory.directory / ".env").exists()
    assert not list((factory.directory / ".disinto").glob("sops-*"))


def test_up_use_rollback_and_down(
    factory: Factory, engine: Engine, sample_images: SampleImages, sops: Sops
) -> None:
    said = factory.cli("up", "--yes")
    assert said.code == 0, said.err
    agents = inspect(engine, "container", f"{factory.project}-agents")
    assert f"FORGE_TOKEN={ADMIN_TOKEN}" in agents["Config"]["Env"]  # type: ignore[index]
    said = factory.cli("status", "--offline", "--json")
    assert said.code == 0, said.err
    assert said.document["pinned"] == sample_images.reference("v0.2.0")
    assert not [item for item in said.document["services"] if item["drift"]]
    assert ADMIN_TOKEN not in said.out

    sealed = factory.directory / ".env.enc"
    before = sealed.read_bytes()
    shown = factory.cli("use", "v0.3.0", "--dry-run")
    assert ".env.enc" in shown.out
    assert "+AGENTS_IMAGE=" in shown.out
    assert sealed.read_bytes() == before
    said = factory.cli("use", "v0.3.0", *SOAK)
    assert said.code == 0, said.err
    assert pinned(factory, sops) == sample_images.reference("v0.3.0")
    assert running(factory) == ["v0.3.0"]
    said = factory.cli("resume", "--undo", factory.cli("runs", "--json").document[0]["id"], "--yes")
    assert said.code == 0, said.err
    assert sealed.read_bytes() == before  # to the byte, although sops writes another file each time
    assert running(factory) == ["v0.2.0"]

    said = factory.cli("use", "v0.3.0", *SOAK)
    assert said.code == 0, said.err
    said = factory.cli("rollback", *SOAK)
    assert said.code == 0, said.err
    assert pinned(factory, sops) == sample_images.reference("v0.2.0")
    assert factory.cli("logs", "--no-follow", "agents").code == 0
    assert ADMIN_TOKEN not in sops.log.read_text()


def test_killed_at_some_boundaries_nothing_lies_in_clear(
    factory: Factory, engine: Engine, sample_images: SampleImages, sops: Sops
) -> None:
    """Around the writing of the pin and the recreate; then finished or taken back."""
    assert factory.cli("up", "--yes").code == 0
    sealed = factory.directory / ".env.enc"
    for boundary, way in ((7, "--undo"), (8, ""), (10, "--undo")):
        assert factory.cli("use", "v0.2.0", *SOAK).code == 0
        before = sealed.read_bytes()
        run = planned(factory, "use", "v0.3.0", *SOAK)
        killed = factory.cli.python("-c", KILLER, str(run), str(boundary))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert lying_in_clear(factory) == []
        assert not (factory.directory / ".env").exists()
        said = factory.cli("resume", "--yes", *([way] if way else []))
        assert said.code == 0, (boundary, said.err)
        assert running(factory) == ["v0.2.0" if way else "v0.3.0"], boundary
        if way:
            assert sealed.read_bytes() == before


def test_without_a_key_or_beside_a_clear_file_it_is_said(factory: Factory, tmp_path: Path) -> None:
    assert factory.cli("up", "--yes").code == 0
    lost = {"SOPS_AGE_KEY_FILE": str(tmp_path / "nothing")}
    said = factory.cli("status", "--offline", "--json", env=lost)
    assert said.code == 1
    problems = [item["text"] for item in said.document["attention"] if item["severity"] == "problem"]
    assert len(problems) == 1
    assert "no key that fits" in problems[0]
    assert {item["name"] for item in said.document["services"]} >= {"agents", "edge"}
    for argv in (["up", "--yes"], ["use", "v0.3.0", *SOAK], ["rollback", *SOAK]):
        said = factory.cli(*argv, env=lost)
        assert said.code == 3, (argv, said.err)
        assert "no key that fits" in said.err
    assert factory.cli("logs", "--no-follow", env=lost).code == 0

    clear = factory.directory / ".env"
    clear.write_text("AGENTS_IMAGE=other\n")
    try:
        for argv in (["use", "v0.3.0", *SOAK], ["rollback", "v0.3.0", *SOAK]):
            said = factory.cli(*argv)
            assert said.code == 4, said.err
            assert "There are a .env and a .env.enc" in said.err
        texts = [item["text"] for item in factory.cli("status", "--offline", "--json").document["attention"]]
        assert any("Compose reads .env" in text for text in texts)
    finally:
        clear.unlink()
    said = factory.init()
    assert said.code == 4
    assert "There is a .env.enc" in said.err

    # What must always work: from the containers' labels alone.
    said = factory.cli("down", "--yes", env=lost)
    assert said.code == 0, said.err
    assert factory.cli("status", "--offline", "--json").document["running_versions"] == []
    assert json.loads(factory.cli("runs", "--json").out)[0]["status"] == "done"
