"""A whole release on the real engine, a real registry and real git: eight steps, what each leaves, and what fails."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.engine.conftest import SampleImages
from tests.support.engine import ROOT, Engine, inspect
from tests.support.factory import Factory, Said, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state
from tests.support.git_server import PASSWORD, GitServer, checkout, commit, git_server

pytestmark = pytest.mark.slow

IDS = [
    "preflight",
    "tag-main",
    "push-mirrors",
    "build-image",
    "tag-image",
    "push-image",
    "restart-agents",
    "commit-result",
]
QUICK = (
    "services:\n  agents:\n    healthcheck:\n      start_period: 1s\n      interval: 1s\n      retries: 3\n"
)


@dataclass
class Ground:
    """A factory that runs v0.2.0, the checkout of its code, its forge and a mirror that wants a password."""

    factory: Factory
    tree: Path
    forge: ForgeDouble
    mirrors: GitServer
    images: str
    engine: Engine

    def cut(self, version: str, files: Mapping[str, str] = {}) -> str:
        """Commit what belongs to a version, on the checkout and on the forge; the commit's id."""
        sha = commit(self.tree, {"VERSION": f"{version[1:]}\n", **files}, f"release {version}")
        repo = self.forge.state.repo("acme", "shop")
        assert repo is not None
        repo.branches["main"].append(sha)
        return sha

    def release(self, version: str, *argv: str) -> Said:
        secrets = {"MIRROR_TOKEN_ONE": PASSWORD}
        more = ("--checkout", str(self.tree), "--yes", *argv)
        return self.factory.cli("release", version, *more, env=secrets, timeout=300)

    def running(self) -> list[str]:
        found: list[str] = self.factory.cli("status", "--offline", "--json").document["running_versions"]
        return found

    def result(self, version: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(
            (self.factory.directory / "release" / f"{version}.json").read_text()
        )
        return found


@pytest.fixture(scope="module")
def ground(
    engine: Engine, sample_images: SampleImages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    home = tmp_path_factory.mktemp("home")
    project = f"{engine.prefix}-release"
    busybox = shutil.which("busybox")
    assert busybox is not None
    with ForgeDouble(default_state()) as forge, git_server(home / "mirrors") as mirrors:
        mirrors.make("one")
        text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
        text += f'[mirrors]\none = "http://{mirrors.address}/one.git"\n'
        made = new_factory(home, engine.endpoint, project, text)
        made.directory.mkdir()
        (made.directory / "docker-compose.override.yml").write_text(QUICK)
        said = made.init()
        assert said.code == 0, said.err
        tree = checkout(home / "tree")
        sample = ROOT / "docker" / "sample"
        shutil.copytree(sample / "agents", tree / "agents")
        shutil.copy(busybox, tree / "busybox")
        dockerfile = (sample / "Dockerfile").read_text()
        commit(tree, {"docker/agents/Dockerfile": dockerfile}, "the image")
        yield Ground(made, tree, forge, mirrors, sample_images.repository, engine)
    engine.remove(f"label=com.docker.compose.project={project}")
    mine = [name for name in engine.references() if name.startswith("disinto-agents:v0.4.")]
    engine.docker("rmi", *mine, check=False)


def test_a_release_from_the_commit_to_the_running_factory(ground: Ground, engine: Engine) -> None:
    sha = ground.cut("v0.4.0")
    said = ground.release("v0.4.0")
    assert said.code == 0, said.err
    reference = f"{ground.images}:v0.4.0"
    repo = ground.forge.state.repo("acme", "shop")
    assert repo is not None
    assert repo.tags["v0.4.0"].commit == sha
    assert ground.mirrors.refs("one") == {"refs/tags/v0.4.0": sha}
    assert ground.running() == ["v0.4.0"]
    assert f"AGENTS_IMAGE={reference}" in (ground.factory.directory / ".env").read_text().splitlines()
    container = inspect(engine, "container", f"{ground.factory.project}-agents")
    result = ground.result("v0.4.0")
    assert result["image_id"] == container["Image"] == inspect(engine, "image", "disinto-agents:v0.4.0")["Id"]
    assert (result["status"], result["head_sha"], result["pushed"]) == ("success", sha, True)
    assert result["mirrors"] == {"one": "pushed"}
    assert result["forgejo_tag_url"] == f"{ground.forge.url}/acme/shop/src/v0.4.0"
    steps = result["steps"]
    assert isinstance(steps, list)
    assert [step["id"] for step in steps] == IDS[:-1]
    assert {step["status"] for step in steps} == {"done"}
    pull = next(iter(repo.pulls.values()))
    assert (pull.head, pull.base, pull.state) == ("release-result/v0.4.0", "main", "open")
    assert "release/v0.4.0.json" in repo.trees["release-result/v0.4.0"]
    rows = {row["tag"]: row for row in ground.factory.cli("versions", "--json").document["versions"]}
    assert rows["v0.4.0"]["running"] and rows["v0.4.0"]["newest"]
    assert rows["v0.4.0"]["past"]["outcome"] == "good"
    # `latest` came with it, since it is the highest release.
    tags = ground.factory.cli("versions", "latest", "--all", "--json").document["versions"]
    assert tags[0]["meta"]["digest"] == result["image_digest"]


def test_no_secret_is_in_anything_it_left(ground: Ground) -> None:
    forms = (PASSWORD, base64.b64encode(PASSWORD.encode()).decode().rstrip("="), quote(PASSWORD, safe=""))
    token = ground.factory.token.read_text().strip()
    for path in ground.factory.directory.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            assert not any(form in text for form in forms), path
            assert path.name == ".env" or token not in text, path


def test_a_version_that_is_there_is_not_released_again(ground: Ground) -> None:
    said = ground.release("v0.4.0")
    assert said.code == 4
    assert "is there already" in said.err
    assert "release the next one" in said.err


def test_an_image_that_does_not_come_up_is_published_and_the_factory_goes_back(ground: Ground) -> None:
    dockerfile = (ROOT / "docker" / "sample" / "Dockerfile").read_text()
    sha = ground.cut(
        "v0.4.1", {"docker/agents/Dockerfile": dockerfile.replace("BEHAVIOR=ok", "BEHAVIOR=unhealthy")}
    )
    said = ground.release("v0.4.1")
    assert said.code == 1, said.err
    assert "The previous version was brought back." in said.err
    assert ground.running() == ["v0.4.0"]
    assert ":v0.4.0\n" in (ground.factory.directory / ".env").read_text()
    result = ground.result("v0.4.1")
    assert (result["status"], result["failed_step"], result["pushed"]) == ("failed", "restart-agents", True)
    repo = ground.forge.state.repo("acme", "shop")
    assert repo is not None and repo.tags["v0.4.1"].commit == sha
    assert ground.factory.cli("status", "--offline").code in (0, 1)
    # It holds up nothing: another switch works, and the release may be taken back as far as it can be.
    assert ground.factory.cli("use", "v0.2.0", "--yes", "--soak", "0").code == 0
    assert ground.factory.cli("use", "v0.4.0", "--yes", "--soak", "0").code == 0


def test_a_mirror_that_refuses_stops_it_and_it_goes_on_when_mended(ground: Ground) -> None:
    dockerfile = (ROOT / "docker" / "sample" / "Dockerfile").read_text()
    ground.cut("v0.4.2", {"docker/agents/Dockerfile": dockerfile})
    ground.mirrors.closed.add("one")
    said = ground.release("v0.4.2")
    assert said.code == 1
    assert "one did not take the tag." in said.err
    assert ground.result("v0.4.2")["failed_step"] == "push-mirrors"
    assert ground.running() == ["v0.4.0"]
    ground.mirrors.closed.clear()
    again = ground.factory.cli("resume", "--yes", env={"MIRROR_TOKEN_ONE": PASSWORD}, timeout=300)
    assert again.code == 0, again.err
    assert ground.running() == ["v0.4.2"]
    result = ground.result("v0.4.2")
    assert (result["status"], result["mirrors"]) == ("success", {"one": "pushed"})


def test_a_dry_run_looks_and_changes_nothing(ground: Ground) -> None:
    sha = ground.cut("v0.4.3")
    said = ground.release("v0.4.3", "--dry-run")
    assert said.code == 0, said.err
    for words in ("✓ registry", "Release v0.4.3", "recreate    agents", "v0.4.2 was before it"):
        assert words in said.out, said.out
    repo = ground.forge.state.repo("acme", "shop")
    assert repo is not None and "v0.4.3" not in repo.tags
    assert sha in repo.branches["main"]
