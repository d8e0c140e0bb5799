"""Switching between versions on the real engine: the way there, the way back, and every fault on the way."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import SampleImages, a_factory
from tests.engine.test_init_killed import KILLER
from tests.support.engine import Engine
from tests.support.factory import QUICK, Factory, Said
from tests.support.registries import open_registry, push_samples

SOAK = ("--yes", "--soak", "0.2")


@pytest.fixture(scope="module")
def factory(
    engine: Engine, sample_images: SampleImages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Factory]:
    """A running factory of this file's own, with data in its volumes and impatient healthchecks."""
    home = tmp_path_factory.mktemp("home")
    with a_factory(engine, sample_images, home, "switch") as made:
        engine.docker(
            "exec",
            f"{made.project}-agents",
            "sh",
            "-c",
            "echo precious >/home/agent/data/d; echo r >/home/agent/repos/r",
        )
        yield made


@pytest.fixture(autouse=True)
def nothing_lost(factory: Factory, engine: Engine, sample_images: SampleImages) -> Iterator[None]:
    """Before and after each test: v0.2.0 pinned and running, the data as it was, no volume too many."""
    pin = sample_images.reference("v0.2.0")
    if pinned(factory) != pin or running(factory) != ["v0.2.0"]:
        assert use(factory, "v0.2.0").code == 0
    others = {name: ident(engine, factory, name) for name in ("edge", "staging")}
    volumes = set(engine.ids("volume"))
    yield
    data = engine.docker(
        "exec", f"{factory.project}-agents", "cat", "/home/agent/data/d", "/home/agent/repos/r"
    )
    assert data.stdout == "precious\nr\n"
    mine = {name for name in set(engine.ids("volume")) - volumes if len(name) == 64}
    held = json.loads(
        engine.docker("inspect", f"{factory.project}-agents", "--format", "{{json .Mounts}}").stdout
    )
    assert not mine & {item.get("Name") for item in held}
    assert {name: ident(engine, factory, name) for name in ("edge", "staging")} == others


def use(factory: Factory, version: str, *more: str) -> Said:
    return factory.cli("use", version, *SOAK, *more)


def pinned(factory: Factory) -> str:
    lines = (factory.directory / ".env").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("AGENTS_IMAGE="))


def running(factory: Factory) -> list[str]:
    found: list[str] = factory.cli("status", "--offline", "--json").document["running_versions"]
    return found


def ident(engine: Engine, factory: Factory, service: str) -> str:
    listed = engine.docker(
        "ps", "-aq", "--no-trunc", "--filter", f"label=com.docker.compose.project={factory.project}",
        "--filter", f"label=com.docker.compose.service={service}",
    )  # fmt: skip
    return listed.stdout.strip()


def odd(sample_images: SampleImages, version: str, behavior: str) -> None:
    address, _, path = sample_images.repository.partition("/")
    push_samples(address, [version], repository=path, options=["--behavior", behavior])


def test_up_and_down_through_three_versions(factory: Factory, sample_images: SampleImages) -> None:
    for version in ("v0.3.0", "v0.1.0", "v0.2.0"):
        said = use(factory, version)
        assert said.code == 0, said.err
        assert pinned(factory) == sample_images.reference(version)
        assert running(factory) == [version]
    again = use(factory, "v0.2.0")
    assert "Nothing to do." in again.err


def test_only_the_pin_changes_in_env(factory: Factory) -> None:
    before = (factory.directory / ".env").read_bytes()
    assert use(factory, "v0.3.0").code == 0
    after = (factory.directory / ".env").read_bytes()
    assert after == before.replace(b"agents:v0.2.0", b"agents:v0.3.0")
    assert (factory.directory / ".env").stat().st_mode & 0o777 == 0o600


def test_dry_run_says_what_will_happen(factory: Factory) -> None:
    said = factory.cli("use", "v0.3.0", "--dry-run")
    assert said.code == 0
    for words in ("recreate    agents", "untouched   edge, staging", "+AGENTS_IMAGE=", "sha256:", "undo"):
        assert words in said.out
    assert running(factory) == ["v0.2.0"]


def reverted(factory: Factory, said: Said, *words: str) -> None:
    """It failed, said why, and the previous version runs again."""
    assert said.code == 1, said.err
    for word in words:
        assert word in said.err, said.err
    assert pinned(factory).endswith(":v0.2.0")
    assert running(factory) == ["v0.2.0"]
    runs = factory.cli("runs", "--json").document
    assert runs[0]["status"] == "undone"
    assert factory.cli("status", "--offline").code == 0


def test_an_image_that_never_gets_healthy(factory: Factory, sample_images: SampleImages) -> None:
    odd(sample_images, "v1.0.0", "unhealthy")
    said = use(factory, "v1.0.0")
    reverted(factory, said, "is unhealthy", "sample agents v1.0.0 starting")


def test_an_image_that_exits_at_once(factory: Factory, sample_images: SampleImages) -> None:
    odd(sample_images, "v1.0.1", "exit")
    reverted(factory, use(factory, "v1.0.1"), "did not come up")


def test_an_image_that_restarts_in_a_loop(factory: Factory, sample_images: SampleImages) -> None:
    odd(sample_images, "v1.0.2", "crashloop")
    # It is up and healthy for a moment each time: only a soak tells. It ends with the first crash.
    said = factory.cli("use", "v1.0.2", "--yes", "--soak", "30")
    reverted(factory, said, "did not come up", "restart")


def test_an_image_without_a_healthcheck(factory: Factory, sample_images: SampleImages) -> None:
    """The stack's own healthcheck is taken away, so nothing says healthy: stable for a while, unverified."""
    odd(sample_images, "v1.0.3", "nohealth")
    override = factory.directory / "docker-compose.override.yml"
    override.write_text("services:\n  agents:\n    healthcheck:\n      disable: true\n")
    try:
        said = use(factory, "v1.0.3")
        assert said.code == 0, said.err
        assert "unverified" in said.err
        assert running(factory) == ["v1.0.3"]
    finally:
        override.write_text(QUICK)


def test_an_image_for_another_architecture(factory: Factory, sample_images: SampleImages) -> None:
    address, _, path = sample_images.repository.partition("/")
    push_samples(address, ["v1.0.4"], repository=path, options=["--arch", "s390x"])
    said = use(factory, "v1.0.4")
    assert said.code == 2
    assert "s390x" in said.err


def test_a_missing_tag(factory: Factory) -> None:
    said = use(factory, "v9.9.9")
    assert said.code == 2
    assert "There is no" in said.err


def test_a_tag_moved_between_picking_and_pulling(factory: Factory, sample_images: SampleImages) -> None:
    """The run is planned, the tag is pushed anew, the run starts."""
    odd(sample_images, "v1.0.5", "ok")
    run = planned(factory, "use", "v1.0.5", *SOAK)
    address, _, path = sample_images.repository.partition("/")
    push_samples(address, ["v1.0.5"], repository=path, options=["--payload-kib", "3"])
    killed = execute(factory, run, 0)
    assert killed.returncode == 4, killed.stderr
    said = factory.cli("attach", run.name)
    assert "The tag v1.0.5 was moved." in said.err
    assert said.err.count("sha256:") >= 2
    assert running(factory) == ["v0.2.0"]


def test_a_registry_that_dies_in_the_middle_of_a_pull(
    factory: Factory, sample_images: SampleImages, tmp_path: Path, engine: Engine
) -> None:
    """Planned while it answers, gone when the run pulls; afterwards everything is as before."""
    with open_registry(tmp_path / "registry") as registry:
        push_samples(registry, ["v2.0.0"], repository="other/agents", options=["--payload-kib", "512"])
        run = planned(factory, "use", f"{registry.address}/other/agents:v2.0.0", *SOAK)
    done = execute(factory, run, 0)
    assert done.returncode in (1, 3), done.stderr
    assert pinned(factory).endswith(":v0.2.0")
    assert running(factory) == ["v0.2.0"]
    assert factory.cli("status", "--offline").code == 0


def test_rollback_without_an_argument_and_with_the_registry_down(
    factory: Factory, sample_images: SampleImages
) -> None:
    assert use(factory, "v0.1.0").code == 0
    assert use(factory, "v0.3.0").code == 0
    gone = {"HTTP_PROXY": "", "DISINTO_NOTHING": "1"}
    env = factory.directory / ".env"
    # The registry's name stays in the pin, and nothing is asked of it: the images are here.
    said = factory.cli("rollback", *SOAK, env=gone)
    assert said.code == 0, said.err
    assert running(factory) == ["v0.1.0"]
    said = factory.cli("rollback", *SOAK)
    assert said.code == 0, said.err
    assert running(factory) == ["v0.2.0"]  # not v0.3.0: that one was rolled back from
    assert env.stat().st_mode & 0o777 == 0o600


def test_known_good_images_carry_a_name_of_ours(factory: Factory, engine: Engine) -> None:
    for version in ("v0.1.0", "v0.3.0", "v0.2.0"):
        assert use(factory, version).code == 0
    names = {name for name in engine.references() if name.startswith(f"disinto-kept/{factory.project}:")}
    versions = {name.rpartition(":")[2].rpartition("-")[0] for name in names}
    assert versions >= {"v0.1.0", "v0.2.0", "v0.3.0"}
    assert len(names) <= 4
    # A pull name that was taken away comes back from ours, without a registry.
    reference = pinned(factory).replace("v0.2.0", "v0.3.0")
    engine.docker("rmi", reference)
    said = factory.cli("rollback", "v0.3.0", *SOAK)
    assert said.code == 0, said.err
    assert "pulling" not in said.err


def test_pinning_the_digest(factory: Factory, sample_images: SampleImages) -> None:
    said = use(factory, "v0.3.0", "--digest")
    assert said.code == 0, said.err
    assert pinned(factory) == sample_images.versions["v0.3.0"]
    assert running(factory) == ["v0.3.0"]


def test_an_exported_pin_is_warned_about_and_not_obeyed(factory: Factory) -> None:
    said = factory.cli("use", "v0.3.0", *SOAK, env={"AGENTS_IMAGE": "v0.1.0"})
    assert said.code == 0, said.err
    assert "exported in this shell" in said.err
    assert running(factory) == ["v0.3.0"]


def test_agents_at_work_are_said_and_waited_for(factory: Factory, engine: Engine) -> None:
    container = f"{factory.project}-agents"
    # At work until it is told otherwise: no machine is too slow for this test.
    loop = "#!/bin/sh\\nwhile [ -e /tmp/busy ]; do sleep 0.2; done\\n"
    script = f"touch /tmp/busy; printf '{loop}' >/tmp/claude; chmod +x /tmp/claude"
    engine.docker("exec", container, "sh", "-c", script)
    engine.docker("exec", "-d", container, "/tmp/claude")
    said = factory.cli("use", "v0.3.0", "--dry-run")
    assert "agents is at work; it will be interrupted" in said.out
    late = factory.cli("use", "v0.3.0", *SOAK, "--when-idle", "--deadline", "1")
    assert late.code == 3
    assert "did not become idle" in late.err
    assert running(factory) == ["v0.2.0"]
    done = threading.Timer(3, engine.docker, ("exec", container, "rm", "/tmp/busy"))
    done.start()
    said = factory.cli("use", "v0.3.0", *SOAK, "--when-idle", "--deadline", "60")
    done.join()
    assert said.code == 0, said.err
    assert running(factory) == ["v0.3.0"]


def test_two_operators_at_once(factory: Factory) -> None:
    """Both begin; one holds the instance, the other is told who does."""
    results: list[Said] = []
    threads = [
        threading.Thread(target=lambda version=version: results.append(use(factory, version)))
        for version in ("v0.1.0", "v0.3.0")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = sorted(said.code for said in results)
    assert codes in ([0, 4], [0, 0]), [said.err for said in results]
    if codes == [0, 4]:
        busy = next(said for said in results if said.code == 4)
        assert "is busy" in busy.err or "half-way" in busy.err
    assert len(running(factory)) == 1
    assert pinned(factory).endswith(running(factory)[0])


# -- killed at every boundary ------------------------------------------------------------------------------------


def planned(factory: Factory, *argv: str) -> Path:
    """The run directory of a command that was planned and confirmed, its process not started."""
    return factory.cli.planned(*argv)


def execute(factory: Factory, run: Path, boundary: int) -> subprocess.CompletedProcess[str]:
    """Execute it, killed at a boundary (0: never)."""
    return factory.cli.python("-c", KILLER, str(run), str(boundary))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["finish", "undo"])
def test_killed_at_every_step_boundary(
    factory: Factory, engine: Engine, sample_images: SampleImages, way: str
) -> None:
    boundary, here, there = 0, "v0.2.0", "v0.3.0"
    while True:
        boundary += 1
        engine.docker("rmi", sample_images.reference(there), check=False)
        run = planned(factory, "use", there, *SOAK)
        killed = execute(factory, run, boundary)
        if killed.returncode != -signal.SIGKILL:
            assert killed.returncode == 0, killed.stderr
            break
        said = factory.cli("resume", "--yes", *(["--undo"] if way == "undo" else []))
        assert said.code == 0, (boundary, said.err)
        if way == "finish":
            here, there = there, here
        status = factory.cli("status", "--offline", "--json")
        assert status.code == 0, (boundary, status.out)
        assert status.document["running_versions"] == [here], boundary
        assert pinned(factory) == sample_images.reference(here), boundary
    assert boundary > 10


# The run's own process, which moves a directory away when a step begins.
MOVER = """
import asyncio, shutil, sys
from pathlib import Path
from disinto_tui.adapters.journal import RunDir
from disinto_tui.core.events import StepStarted
from disinto_tui.runs.launch import instance_of
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.runner import execute

_, run, step, there, away = sys.argv

def listen(event):
    if isinstance(event, StepStarted) and event.step == step and Path(there).exists():
        shutil.move(there, away)

run = RunDir(Path(run))
sys.exit(int(asyncio.run(execute(run, instance_of(run), OPERATIONS, listener=listen))))
"""


def test_a_way_back_that_fails_too_says_the_state_and_what_to_type(
    factory: Factory, engine: Engine, sample_images: SampleImages, tmp_path: Path
) -> None:
    """The new version is bad, and the previous one cannot come up any more: its mount source is gone."""
    odd(sample_images, "v1.0.6", "exit")
    run = planned(factory, "use", "v1.0.6", *SOAK)
    state = factory.directory / "state"
    hidden = tmp_path / "state"
    done = factory.cli.python("-c", MOVER, str(run), "watch", str(state), str(hidden))
    said = factory.cli("attach", run.name)
    shutil.move(str(hidden), state)
    assert done.returncode == 1, done.stderr
    assert said.code == 1
    assert "Going back failed too" in said.err
    assert "by hand: docker compose" in said.err
    assert factory.cli("up", "--yes").code == 4  # finished or taken back first
    back = factory.cli("resume", "--undo", "--yes")
    assert back.code == 0, back.err
    assert running(factory) == ["v0.2.0"]
