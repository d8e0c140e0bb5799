"""The ground itself: the sample image keeps its contract, the stand-ins answer, nothing is left behind."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import SampleImages
from tests.support.engine import ROOT, Engine, inspect
from tests.support.processes import poll
from tests.support.registries import Registry, push_samples

VOLUMES = {
    "/home/agent/data",
    "/home/agent/repos",
    "/home/agent/disinto/projects",
    "/home/agent/disinto/state",
}
Run = Callable[..., str]


@pytest.fixture
def run(engine: Engine) -> Iterator[Run]:
    """`docker run -d`; what was started goes with its test, or its health probes would slow down the rest."""
    started = []

    def start(*argv: str) -> str:
        started.append(engine.docker("run", "-d", "--label", engine.label, *argv).stdout.strip())
        return started[-1]

    yield start
    if started:
        engine.docker("rm", "-fv", *started)


def health(engine: Engine, container: str) -> str:
    form = "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.RestartCount}}"
    return engine.docker("inspect", "--format", form, container).stdout.split()[0]


def test_sample_contract(engine: Engine, sample_images: SampleImages, run: Run) -> None:
    reference = sample_images.reference("v0.2.0")
    container = run(reference)
    assert poll(120, lambda: health(engine, container) == "healthy")
    config = inspect(engine, "image", reference)["Config"]
    assert isinstance(config, dict)
    assert set(config["Volumes"]) == VOLUMES
    assert config["Labels"]["org.opencontainers.image.version"] == "v0.2.0"
    engine.docker("stop", "-t", "60", container)
    code = engine.docker("inspect", "--format", "{{.State.ExitCode}}", container).stdout.strip()
    assert code == "0", "TERM is handled: who does not hear it is killed, which is 137"
    assert "TERM: leaving the loop" in engine.docker("logs", container).stdout


def test_arguments_are_honoured_as_agent(engine: Engine, sample_images: SampleImages) -> None:
    done = engine.docker(
        "run",
        "--rm",
        "--label",
        engine.label,
        sample_images.reference("v0.1.0"),
        "sh",
        "-c",
        "id -u; echo a  'b c'",
    )
    assert done.stdout == "1000\na b c\n"


def test_versions_differ(sample_images: SampleImages) -> None:
    digests = {reference.partition("@")[2] for reference in sample_images.versions.values()}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [("unhealthy", "unhealthy"), ("nohealth", "none"), ("slowstart", "healthy")],
)
def test_behaviors(
    engine: Engine, registry: Registry, sample_images: SampleImages, run: Run, behavior: str, expected: str
) -> None:
    path = f"{engine.prefix}/{behavior}"
    push_samples(registry, ["v0.1.0"], repository=path, options=["--behavior", behavior])
    container = run(f"{registry.address}/{path}:v0.1.0")
    assert poll(120, lambda: health(engine, container) == expected)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("web", "http://localhost:80/"),
        ("web", "http://localhost:2019/config/"),
        ("forgejo", "http://localhost:3000/api/v1/version"),
        ("woodpecker", "http://localhost:8000/healthz"),
        ("woodpecker-agent", "http://localhost:3333/healthz"),
    ],
)
def test_stand_ins(engine: Engine, sample_images: SampleImages, run: Run, name: str, url: str) -> None:
    container = run(sample_images.stand_ins[name], "caddy", "file-server", "--root", "/srv/site")
    check = ("exec", container, "wget", "-q", "--spider", url)
    assert poll(120, lambda: engine.docker(*check, check=False).returncode == 0)


def test_dockerfile_and_builder_agree(engine: Engine, sample_images: SampleImages, tmp_path: Path) -> None:
    """The sample image is described twice, for Docker and for build.py: one description, in fact."""
    context = tmp_path / "context"
    shutil.copytree(ROOT / "docker" / "sample", context)
    busybox = shutil.which("busybox")
    assert busybox, "docker/engine/up.sh busybox-static"
    shutil.copy(busybox, context / "busybox")
    tag = f"{engine.prefix}/built:v0.2.0"
    subprocess.run(
        [
            "docker",
            "build",
            "-q",
            "-t",
            tag,
            "--build-arg",
            "VERSION=v0.2.0",
            "--label",
            engine.label,
            str(context),
        ],
        check=True,
        capture_output=True,
        env=engine.environment(),
    )
    engine.docker("pull", "-q", sample_images.reference("v0.2.0"))
    configs = []
    for reference in (tag, sample_images.reference("v0.2.0")):
        config = inspect(engine, "image", reference)["Config"]
        assert isinstance(config, dict)
        parts = {key: config[key] for key in ("Env", "Entrypoint", "Volumes", "WorkingDir", "Healthcheck")}
        configs.append(parts | {"labels": sorted(set(config["Labels"]) - {engine.label.partition("=")[0]})})
    engine.docker("rmi", "-f", tag)
    assert configs[0] == configs[1]
