"""A factory that somebody started by hand, as another project and with a file of their own: it stays that."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.conftest import SampleImages
from tests.support.engine import Engine, inspect
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state

SOAK = ("--yes", "--soak", "0.2")
EXTRA = """services:
  agents:
    labels:
      mine: 'yes'
  spare:
    image: {image}
    restart: always
    profiles: [spare]
    command: [sleep, '600']
"""


@pytest.fixture(scope="module")
def factory(
    engine: Engine, sample_images: SampleImages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Factory]:
    """Made by `init`, stopped, and started by hand as another project with `extra.yml` and a profile."""
    home = tmp_path_factory.mktemp("home")
    project = f"{engine.prefix}-own"
    with ForgeDouble(default_state()) as forge:
        text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
        made = new_factory(home, engine.endpoint, project, text, warm=True)
        said = made.init("--no-start")
        assert said.code == 0, said.err
        (made.directory / "extra.yml").write_text(EXTRA.format(image=sample_images.stand_ins["busybox"]))
        yield made
    for name in (project, other(made)):
        engine.remove(f"label=com.docker.compose.project={name}")


def other(factory: Factory) -> str:
    return f"{factory.project}-other"


def by_hand(engine: Engine, factory: Factory, *argv: str) -> str:
    """`docker compose ARGV`, as an operator types it in the factory's directory."""
    done = subprocess.run(
        ["docker", "compose", *argv],
        capture_output=True,
        text=True,
        check=False,
        env=engine.environment(),
        cwd=factory.directory,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_extra(factory: Factory) -> list[str]:
    files = [factory.directory / name for name in ("docker-compose.yml", "extra.yml")]
    return ["-p", other(factory), *(part for path in files for part in ("-f", str(path)))]


def containers(engine: Engine, project: str) -> list[str]:
    return engine.ids("container", f"label=com.docker.compose.project={project}")


def agents(engine: Engine, factory: Factory) -> dict[str, Any]:
    return inspect(engine, "container", f"{factory.project}-agents")


def labels(engine: Engine, factory: Factory) -> dict[str, str]:
    found: dict[str, str] = agents(engine, factory)["Config"]["Labels"]
    return found


@pytest.fixture(autouse=True)
def bystander(engine: Engine, factory: Factory, sample_images: SampleImages) -> Iterator[None]:
    """A container of the factory's own project name, started from elsewhere: nothing of ours may touch it."""
    name, label = f"{factory.project}-bystander", "com.docker.compose.project"
    told = {
        label: factory.project,
        f"{label}.working_dir": "/elsewhere",
        "com.docker.compose.oneoff": "False",
    }
    options = [part for key, value in told.items() for part in ("--label", f"{key}={value}")]
    image = sample_images.stand_ins["busybox"]
    engine.docker("pull", "--quiet", image)
    engine.docker(
        "run",
        "-d",
        "--name",
        name,
        "--network",
        "none",
        "--label",
        engine.label,
        *options,
        image,
        "sleep",
        "600",
    )
    yield
    assert inspect(engine, "container", name)["State"]["Running"]  # type: ignore[index]
    engine.docker("rm", "-f", name)


def test_what_was_started_by_hand_is_what_every_command_acts_on(
    factory: Factory, engine: Engine, sample_images: SampleImages
) -> None:
    by_hand(engine, factory, *with_extra(factory), "--profile", "spare", "pull", "--quiet")
    by_hand(engine, factory, *with_extra(factory), "--profile", "spare", "up", "-d", "--wait")
    document = factory.cli("status", "--offline", "--json").document
    assert document["project"] == other(factory)
    assert document["running_versions"] == ["v0.2.0"]
    assert {"agents", "spare"} <= {item["name"] for item in document["services"]}
    assert not [item for item in document["services"] if item["drift"]]
    texts = [item["text"] for item in document["attention"]]
    assert any(f"started as project {other(factory)}" in text for text in texts)
    assert any("started from docker-compose.yml, extra.yml" in text for text in texts)

    said = factory.cli("logs", "--no-follow")
    assert said.code == 0, said.err
    assert any(line.startswith("agents") for line in said.out.splitlines())

    said = factory.cli("use", "v0.3.0", *SOAK)
    assert said.code == 0, said.err
    found = labels(engine, factory)
    assert found["com.docker.compose.project"] == other(factory)
    assert found["com.docker.compose.project.config_files"].endswith("extra.yml")
    assert found["mine"] == "yes"
    said = factory.cli("rollback", "v0.2.0", *SOAK)
    assert said.code == 0, said.err
    assert labels(engine, factory)["mine"] == "yes"
    assert factory.cli("status", "--offline", "--json").document["running_versions"] == ["v0.2.0"]

    before = agents(engine, factory)["Id"]
    said = factory.cli("up", "--yes")
    assert said.code == 0, said.err
    assert "profile spare" in said.err
    assert agents(engine, factory)["Id"] == before

    said = factory.cli("down", "--yes")
    assert said.code == 0, said.err
    assert containers(engine, other(factory)) == []
    volumes = engine.ids("volume", f"label=com.docker.compose.project={other(factory)}")
    # Its volumes are the other project's: that is what comes up again, although nothing says so any more.
    said = factory.cli("up", "--yes")
    assert said.code == 0, said.err
    assert f"it was project {other(factory)} when it ran last" in said.err
    assert labels(engine, factory)["mine"] == "yes"
    assert engine.ids("volume", f"label=com.docker.compose.project={other(factory)}") == volumes
    assert factory.cli("down", "--yes").code == 0


def test_steering_lines_in_env_mean_what_they_mean_by_hand(factory: Factory, engine: Engine) -> None:
    env = factory.directory / ".env"
    kept = env.read_bytes()
    env.write_bytes(
        kept + f"COMPOSE_PROJECT_NAME={other(factory)}x\nCOMPOSE_FILE=docker-compose.yml:extra.yml\n".encode()
    )
    try:
        typed = json.loads(by_hand(engine, factory, "config", "--format", "json"))
        planned = factory.cli("up", "--dry-run", "--json").document
        assert planned["project"] == typed["name"] == f"{other(factory)}x"
        up = next(step for step in planned["steps"] if step["op"] == "up")
        assert up["params"]["files"][-1].endswith("extra.yml")
        assert typed["services"]["agents"]["labels"]["mine"] == "yes"
        # What runs wins over a line that was written later, and it is said.
        env.write_bytes(kept)
        by_hand(engine, factory, "up", "-d", "--no-deps", "agents")
        env.write_bytes(kept + b"COMPOSE_PROJECT_NAME=stray\n")
        said = factory.cli("status", "--offline")
        assert f"started as project {factory.project}, and stays that" in said.out
        assert "would mean stray" in said.out
        env.write_bytes(kept + b"COMPOSE_FILE=nosuch.yml\n")
        said = factory.cli("status", "--offline")
        assert "would take nosuch.yml" in said.out
    finally:
        env.write_bytes(kept)
        engine.docker("rm", "-f", f"{factory.project}-agents", check=False)
    said = factory.cli("status", "--offline", env={"COMPOSE_FILE": "x.yml", "COMPOSE_PROJECT_NAME": ""})
    assert "COMPOSE_FILE is exported in this shell and ignored here" in said.out


def test_two_projects_from_one_directory_are_nobodys_guess(
    factory: Factory, engine: Engine, sample_images: SampleImages
) -> None:
    small = factory.directory / "small.yml"
    small.write_text(
        f"services:\n  one:\n    image: {sample_images.stand_ins['busybox']}\n    command: [sleep, '600']\n"
    )
    try:
        for name in ("a", "b"):
            by_hand(engine, factory, "-p", f"{other(factory)}-{name}", "-f", str(small), "up", "-d")
        said = factory.cli("status", "--offline", "--json")
        assert said.code == 1
        texts = [item["text"] for item in said.document["attention"] if item["severity"] == "problem"]
        assert any("Several compose projects run" in text for text in texts)
        assert said.document["services"] == []
        for argv in (["up", "--yes"], ["down", "--yes"], ["use", "v0.3.0", *SOAK], ["logs", "-F"]):
            said = factory.cli(*argv)
            assert said.code == 4, (argv, said.err)
            assert f"{other(factory)}-a, {other(factory)}-b" in said.err
    finally:
        small.unlink()
        for name in ("a", "b"):
            engine.remove(f"label=com.docker.compose.project={other(factory)}-{name}")
