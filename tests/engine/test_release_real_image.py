"""The real agents image through a whole release, from its Dockerfile to the factory that runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.engine.test_ground import VOLUMES
from tests.support.engine import ROOT, Engine, ground_directories, inspect
from tests.support.git_server import git
from tests.support.registries import Registry, push_stand_ins
from tests.support.release_ground import STEPS, ReleaseGround, release_ground

pytestmark = pytest.mark.slow

FILES = ("Dockerfile", "Dockerfile.dockerignore", "entrypoint.sh", "heartbeat")
NO_MODEL = "services:\n  agents:\n    environment:\n      AGENT_REQUIRES_CLAUDE: '0'\n"
"""There is no claude in it, which its entrypoint else minds."""


@pytest.fixture(scope="module")
def base(engine: Engine) -> str:
    """A Debian to build on, for a machine that reaches no registry of base images."""
    script = ROOT / "docker" / "agents" / "base.sh"
    made = subprocess.run(
        [str(script), "--state", str(ground_directories()[0])],
        capture_output=True,
        text=True,
        check=False,
        env=engine.environment(),
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(scope="module")
def ground(
    engine: Engine, registry: Registry, base: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReleaseGround]:
    with release_ground(engine, tmp_path_factory.mktemp("g"), "real", push_stand_ins(registry)) as made:
        (made.factory.directory / "docker-compose.override.yml").write_text(NO_MODEL)
        formula = made.factory.directory / "formulas" / "release.toml"
        at = 'uses = "build-image"\n\n[steps.with]\n'
        text = formula.read_text()
        assert at in text
        # As test_agents_image.py builds it, so that the packages are installed once.
        formula.write_text(text.replace(at, f'{at}arguments = {{ BASE = "{base}", NODE = "no" }}\n'))
        yield made


def test_the_real_agents_image_goes_through_a_release(ground: ReleaseGround, engine: Engine) -> None:
    git(ground.tree, "rm", "-r", "--quiet", "agents", "busybox")
    files = {f"docker/agents/{name}": (ROOT / "docker" / "agents" / name).read_text() for name in FILES}
    files["review/review-poll.sh"] = "exit 0\n"
    version = ground.cut(files=files)
    said = ground.release(version)
    assert said.code == 0, said.err
    result = ground.result(version)
    assert result["status"] == "success"
    assert [step["id"] for step in result["steps"]] == list(STEPS[:-1])
    assert {step["status"] for step in result["steps"]} == {"done"}
    assert ground.published(version) == ground.published("latest") == result["image_digest"]
    assert ground.running() == [version]
    assert ground.image_running() == f"true {result['image_id']}"
    image = inspect(engine, "image", f"{ground.images}:{version}")
    config = image["Config"]
    assert isinstance(config, dict)
    assert set(config["Volumes"]) == VOLUMES
    assert config["Labels"]["org.opencontainers.image.version"] == version
    assert config["Labels"]["org.opencontainers.image.revision"] == ground.shas[version]
    name = f"{ground.factory.project}-agents"
    told = engine.docker(
        "exec", name, "sh", "-c", "cat VERSION; . /etc/os-release; echo $ID; ls review"
    ).stdout
    assert told.split() == [version[1:], "debian", "review-poll.sh"]
    assert "Entering polling loop" in engine.docker("logs", name).stdout
