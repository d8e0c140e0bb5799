"""`up`, `down`, `status`, `logs`, `versions` on a factory that runs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.runs.logs import LogLine, follow_logs
from tests.engine.conftest import SampleImages
from tests.support.engine import Engine, inspect
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state
from tests.support.processes import poll


@pytest.fixture(scope="module")
def factory(
    engine: Engine, sample_images: SampleImages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Factory]:
    """One running factory for this file's tests; each leaves it running v0.2.0 as pinned."""
    home = tmp_path_factory.mktemp("home")
    project = f"{engine.prefix}-lifecycle"
    with ForgeDouble(default_state()) as forge:
        text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
        made = new_factory(home, engine.endpoint, project, text, warm=True)
        said = made.init()
        assert said.code == 0, said.err
        yield made
    engine.remove(f"label=com.docker.compose.project={project}")


def service(factory: Factory, name: str) -> dict[str, object]:
    document = factory.cli("status", "--json").document
    return next(item for item in document["services"] if item["name"] == name)


def test_status_says_what_runs(factory: Factory, sample_images: SampleImages) -> None:
    said = factory.cli("status")
    assert said.code == 0, said.err
    assert sample_images.reference("v0.2.0") in said.out
    assert "● healthy" in said.out
    document = factory.cli("status", "--json").document
    assert document["running_versions"] == ["v0.2.0"]
    assert document["newest"] == "v0.3.0"
    assert document["forge"] == "reachable"
    assert document["mode"] == "image"
    assert document["engine_version"]
    assert document["attention"] == []
    assert {item["state"] for item in document["services"]} <= {"healthy", "running"}


def test_version_comes_from_the_running_image_not_from_a_name(
    factory: Factory, engine: Engine, sample_images: SampleImages
) -> None:
    """The tag v0.2.0 is moved to another image: what runs is still v0.2.0, and says so."""
    engine.docker("pull", sample_images.reference("v0.1.0"))
    kept = inspect(engine, "container", f"{factory.project}-agents")["Image"]
    engine.docker("tag", sample_images.reference("v0.1.0"), sample_images.reference("v0.2.0"))
    try:
        agents = service(factory, "agents")
        assert agents["version"] == "v0.2.0"
        assert agents["image_id"] == kept
    finally:
        engine.docker("tag", str(kept), sample_images.reference("v0.2.0"))


def test_up_with_the_shells_image_runs_it_once(
    factory: Factory, engine: Engine, sample_images: SampleImages
) -> None:
    env = (factory.directory / ".env").read_bytes()
    others = [inspect(engine, "container", f"{factory.project}-edge")["Id"]]
    said = factory.cli("up", "--yes", env={"AGENTS_IMAGE": "v0.1.0"})
    assert said.code == 0, said.err
    assert "runs once, .env is not changed" in said.err
    assert (factory.directory / ".env").read_bytes() == env
    document = factory.cli("status", "--json").document
    assert document["running_versions"] == ["v0.1.0"]
    assert [item["text"] for item in document["attention"]] == ["pinned is v0.2.0, running is v0.1.0"]
    assert [inspect(engine, "container", f"{factory.project}-edge")["Id"]] == others
    # Other variables of .env are taken from .env, whatever the shell says.
    said = factory.cli("up", "--yes", env={"FORGE_TOKEN": "of-the-shell", "POLL_INTERVAL": "1"})
    assert said.code == 0, said.err
    running = inspect(engine, "container", f"{factory.project}-agents")["Config"]["Env"]  # type: ignore[index]
    assert "FORGE_TOKEN=of-the-shell" not in running
    assert "POLL_INTERVAL=300" in running
    assert factory.cli("status", "--json").document["running_versions"] == ["v0.2.0"]


def test_drift_of_a_changed_env_and_a_changed_file(factory: Factory) -> None:
    env = factory.directory / ".env"
    kept = env.read_bytes()
    env.write_bytes(kept.replace(b"# POLL_INTERVAL=300", b"POLL_INTERVAL=77"))
    try:
        agents = service(factory, "agents")
        assert agents["drift"]
        assert not service(factory, "edge")["drift"]
        said = factory.cli("status")
        assert "agents: its definition or `.env` changed" in said.out
        assert said.code == 0  # worth knowing, but nothing is broken
    finally:
        env.write_bytes(kept)
    compose = factory.directory / "docker-compose.yml"
    text = compose.read_text()
    compose.write_text(text.replace("stop_grace_period: 5s", "stop_grace_period: 6s"))
    try:
        assert "edited by hand" in factory.cli("status").out
    finally:
        compose.write_text(text)
    assert factory.cli("status").code == 0


def test_logs_of_all_services_interleaved(factory: Factory) -> None:
    said = factory.cli("logs", "--no-follow", "--tail", "20")
    assert said.code == 0, said.err
    names = {line.partition("|")[0].strip() for line in said.out.splitlines()}
    assert {"agents", "edge", "staging"} <= names
    only = factory.cli("logs", "--no-follow", "agents")
    assert {line.partition("|")[0].strip() for line in only.out.splitlines()} == {"agents"}
    unknown = factory.cli("logs", "--no-follow", "nosuch")
    assert unknown.code == 2
    assert "agents" in unknown.err


def test_logs_go_on_behind_a_line_for_whoever_lost_the_engine(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", factory.cli.endpoint)

    async def past(after: str) -> list[LogLine]:
        stream = follow_logs(Instance.at(factory.directory), follow=False, after=after)
        return [line async for batch in stream for line in batch]

    every = asyncio.run(past(""))
    after = every[len(every) // 2].at
    behind = [line for line in every if line.at > after]
    assert behind and asyncio.run(past(after))[: len(behind)] == behind


def test_logs_follow_a_service_through_a_recreate(factory: Factory, engine: Engine, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as sink:
        argv = [sys.executable, "-m", "disinto_tui", "--dir", str(factory.directory), "logs", "-f", "-n", "1"]
        follower = subprocess.Popen(
            argv, stdout=sink, env=factory.cli.environment(), stdin=subprocess.DEVNULL
        )
    try:
        assert poll(300, lambda: b"agents" in out.read_bytes())
        engine.docker("restart", "-t", "2", f"{factory.project}-agents")
        assert poll(300, lambda: out.read_bytes().count(b"starting (behavior") >= 1)
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(300) == 130
    assert poll(300, lambda: service(factory, "agents")["state"] == "healthy")


def test_versions_list_what_there_is(factory: Factory) -> None:
    said = factory.cli("versions")
    assert said.code == 0, said.err
    lines = {line.split()[0]: line for line in said.out.splitlines()}
    assert list(lines) == ["v0.3.0", "v0.2.0", "v0.1.0"]
    assert "newest" in lines["v0.3.0"]
    assert "● running" in lines["v0.2.0"]
    assert lines["v0.2.0"].split()[3] == "-"  # nothing to pull of what runs
    asked = factory.cli("versions", "--json").document
    rows = {row["tag"]: row for row in asked["versions"]}
    assert rows["v0.2.0"]["running"] and rows["v0.2.0"]["pinned"] and rows["v0.2.0"]["offline"]
    assert rows["v0.3.0"]["newest"] and not rows["v0.3.0"]["local"]
    assert rows["v0.2.0"]["meta"]["pull"] == 0 < rows["v0.2.0"]["meta"]["size"]
    assert 0 <= rows["v0.3.0"]["meta"]["pull"] < rows["v0.3.0"]["meta"]["size"]  # the base is here
    assert rows["v0.3.0"]["meta"]["fits"] is True
    assert asked["asked_at"] and asked["error"] is None


def test_versions_are_filtered_shown_whole_and_remembered(factory: Factory) -> None:
    assert [line.split()[0] for line in factory.cli("versions", ":running").out.splitlines()] == ["v0.2.0"]
    none = factory.cli("versions", "nothing-like-it")
    assert (none.code, none.out) == (0, "")
    assert "None of 3 versions matches." in none.err
    whole = factory.cli("versions", "v0.3.0").out
    for words in ("newest", "sha256:", "runs here", "4 of 4 mounts match", "against v0.2.0 revision:"):
        assert words in whole, whole
    offline = factory.cli("versions", "--offline")
    assert offline.code == 0, offline.err
    assert [line.split()[0] for line in offline.out.splitlines()] == ["v0.3.0", "v0.2.0", "v0.1.0"]
    assert "●" in offline.out and "…" not in offline.out


def test_down_keeps_volumes_and_up_brings_it_back(factory: Factory, engine: Engine) -> None:
    label = f"label=com.docker.compose.project={factory.project}"
    volumes = set(engine.ids("volume", label))
    assert factory.cli("down").code == 2  # nobody there to say yes
    said = factory.cli("down", "--yes")
    assert said.code == 0, said.err
    assert engine.ids("container", label) == []
    assert set(engine.ids("volume", label)) == volumes
    assert factory.cli("down", "--yes").code == 0
    assert "absent" in factory.cli("status").out
    said = factory.cli("up")
    assert said.code == 0, said.err


def test_a_service_that_never_gets_healthy_fails_up_and_says_its_last_lines(
    factory: Factory, sample_images: SampleImages
) -> None:
    from tests.support.registries import push_samples

    address, _, path = sample_images.repository.partition("/")
    push_samples(address, ["v0.0.9"], repository=path, options=["--behavior", "crashloop"])
    said = factory.cli("up", "--yes", env={"AGENTS_IMAGE": "v0.0.9"})
    assert said.code == 1, said.err
    assert "agents" in said.err
    assert factory.cli("status").code == 1
    back = factory.cli("up", "--yes")
    assert back.code == 0, back.err


def test_a_closed_terminal_does_not_stop_a_run(factory: Factory) -> None:
    """The command is killed while its run is under way; the run goes on, `attach` shows it to its end."""
    assert factory.cli("down", "--yes").code == 0
    argv = [sys.executable, "-m", "disinto_tui", "--dir", str(factory.directory), "up"]
    up = subprocess.Popen(
        argv,
        env=factory.cli.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert up.stderr is not None
    for line in up.stderr:
        if b"Container" in line:
            break
    os.killpg(up.pid, signal.SIGKILL)
    up.wait()
    up.stderr.close()
    watched = factory.cli("attach")
    assert watched.code == 0, watched.err
    assert "healthy" in watched.err
    assert factory.cli("status").code == 0


def test_two_commands_at_once_the_second_is_refused(factory: Factory) -> None:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.adapters.lock import lock

    with lock(Instance.at(factory.directory), "disinto up", "20260101-000000-up-0000"):
        said = factory.cli("up", "--yes")
    assert said.code == 4
    assert "is busy" in said.err
    assert str(os.getpid()) in said.err


def test_build_mode_and_the_one_off_image(
    engine: Engine, sample_images: SampleImages, forge: ForgeDouble, project: str, tmp_path: Path
) -> None:
    """--build writes `build:` and no pin; AGENTS_IMAGE in the shell still runs a registry image, once."""
    source = tmp_path / "source"
    agents = source / "docker" / "agents"
    agents.mkdir(parents=True)
    base = sample_images.reference("v0.1.0")
    (agents / "Dockerfile").write_text(f"FROM {base}\nLABEL org.opencontainers.image.version=dev\n")
    text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
    factory = new_factory(tmp_path, engine.endpoint, project, text, warm=True)
    said = factory.init("--build", str(source))
    assert said.code == 0, said.err
    compose = (factory.directory / "docker-compose.yml").read_text()
    assert "AGENTS_IMAGE" not in compose
    assert "build:" in compose
    document = factory.cli("status", "--json").document
    assert document["mode"] == "build"
    assert service(factory, "agents")["version"] == "dev"
    said = factory.cli("up", "--yes", env={"AGENTS_IMAGE": "v0.3.0"})
    assert said.code == 0, said.err
    assert "build mode" in said.err
    assert service(factory, "agents")["version"] == "v0.3.0"
    assert (factory.directory / "docker-compose.yml").read_text() == compose
    said = factory.cli("up", "--yes")
    assert said.code == 0, said.err
    assert service(factory, "agents")["version"] == "dev"
    assert factory.cli("down", "--yes").code == 0
    engine.docker("rmi", f"{project}-agents", check=False)
