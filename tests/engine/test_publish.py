"""An image built from a commit, named, pushed to a registry that asks who you are, and read back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.adapters.process import Command, LineSink, Result, run
from disinto_tui.core.events import Progress, RunEnded, StepEnded
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs import ops_build, ops_images
from disinto_tui.runs.ops_build import BuildImage
from disinto_tui.runs.ops_images import PushImage, TagImage
from disinto_tui.runs.runner import Operation, execute
from tests.support.engine import Engine, inspect
from tests.support.git_server import checkout, commit, git
from tests.support.registries import Registry, open_registry, token_registry

OPS: Mapping[str, Operation] = {"build": BuildImage(), "tag": TagImage(), "push": PushImage()}
DOCKERFILE = """FROM scratch
ARG VERSION
LABEL built.for=$VERSION
COPY . /app/
"""
SECRET = "s3cret"  # alice's, at the token server


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = checkout(tmp_path / "tree")
    commit(path, {"docker/agents/Dockerfile": DOCKERFILE, ".gitignore": ".env\n"})
    return path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with token_registry(tmp_path_factory.mktemp("guarded")) as registry:
        yield registry


@pytest.fixture
def names(engine: Engine) -> Iterator[list[str]]:
    """Names that a test gives to images; taken off afterwards."""
    given: list[str] = []
    yield given
    if given:
        engine.docker("rmi", *given, check=False)


class Making:
    """A run of build, tag and push in an instance of its own."""

    def __init__(self, engine: Engine, directory: Path, tree: Path, reference: str, **push: Any) -> None:
        self.instance = Instance.at(directory)
        sha = git(tree, "rev-parse", "HEAD")
        build = {
            "checkout": str(tree),
            "sha": sha,
            "version": reference.rpartition(":")[2],
            "created": "2026-11-24T10:00:00Z",
            "source": "https://example.invalid/factory",
            "labels": {"io.disinto.test": engine.session},
        }
        steps = (
            Step("build", "Build", "build", build),
            Step("tag", "Tag", "tag", {"reference": reference, "aliases": push.pop("aliases", [])}),
            Step("push", "Push", "push", {"reference": reference, "user": "alice", "secret": "PUSH", **push}),
        )
        self.sha = sha
        plan = Plan("formula", "Publish", str(directory), "p", engine.endpoint, steps)
        self.run: RunDir = create_run(self.instance, plan)

    async def go(self, **secrets: str) -> RunEnded:
        await execute(self.run, self.instance, OPS, secrets=secrets)
        ended = self.run.events()[-1]
        assert isinstance(ended, RunEnded)
        return ended

    def states(self) -> dict[str, str]:
        return {event.step: event.state for event in self.run.events() if isinstance(event, StepEnded)}

    @property
    def log(self) -> str:
        return self.run.log_path.read_text()


async def test_built_from_the_commit_named_pushed_and_read_back(
    engine: Engine, guarded: Registry, tree: Path, tmp_path: Path, names: list[str]
) -> None:
    (tree / ".env").write_text("TOKEN=x\n")
    (tree / "README.md").write_text("changed, and not committed\n")
    reference = f"{guarded.address}/pub/agents:v0.4.0"
    alias = f"{engine.prefix}/disinto-agents:v0.4.0"
    latest = f"{guarded.address}/pub/agents:latest"
    names += [reference, alias, latest]
    making = Making(engine, tmp_path / "i", tree, reference, aliases=[alias], latest=latest)
    ended = await making.go(PUSH=SECRET)
    assert ended.exit_code == 0, ended.error
    image = inspect(engine, "image", reference)
    assert image["Id"] == inspect(engine, "image", alias)["Id"] == ended.result["image_id"]
    config = image["Config"]
    assert isinstance(config, dict)
    assert config["Labels"]["org.opencontainers.image.revision"] == making.sha
    assert config["Labels"]["org.opencontainers.image.version"] == "v0.4.0"
    assert config["Labels"]["built.for"] == "v0.4.0"
    assert ended.result["image_digest"].startswith("sha256:")
    assert ended.result["public"] is True
    assert not (making.run.path / "export").exists()
    made = engine.docker("create", "--label", engine.label, reference, "/nothing").stdout.strip()
    listed = subprocess.run(
        ["docker", "export", made], capture_output=True, check=True, env=engine.environment()
    )
    assert b"app/VERSION" in listed.stdout
    assert b"app/.env" not in listed.stdout
    assert b"changed, and not committed" not in listed.stdout
    engine.docker("rm", made)
    for event in making.run.events():
        assert SECRET not in json.dumps(getattr(event, "label", ""))
    assert SECRET not in making.log + making.run.events_path.read_text()
    # Again: everything is true already.
    again = await making.go(PUSH=SECRET)
    assert again.exit_code == 0
    assert making.states() == {"build": "skipped", "tag": "skipped", "push": "skipped"}


async def test_a_private_package_is_said(
    engine: Engine, guarded: Registry, tree: Path, tmp_path: Path, names: list[str]
) -> None:
    reference = f"{guarded.address}/priv/agents:v0.4.0"
    names.append(reference)
    making = Making(engine, tmp_path / "i", tree, reference)
    ended = await making.go(PUSH=SECRET)
    assert ended.exit_code == 0, ended.error
    assert ended.result["public"] is False
    assert "the package is private" in making.log


async def test_a_push_credential_without_the_right(
    engine: Engine, guarded: Registry, tree: Path, tmp_path: Path, names: list[str]
) -> None:
    reference = f"{guarded.address}/pub/agents:v0.4.1"
    names.append(reference)
    making = Making(engine, tmp_path / "i", tree, reference, user="reader")
    ended = await making.go(PUSH="r3ad")
    assert ended.exit_code == 1
    assert ended.error is not None and ended.error["code"] == "registry.denied"
    assert making.states() == {"build": "done", "tag": "done", "push": "failed"}
    assert "r3ad" not in making.log


async def test_a_version_that_is_another_image_there_is_never_overwritten(
    engine: Engine, guarded: Registry, tree: Path, tmp_path: Path, names: list[str]
) -> None:
    reference = f"{guarded.address}/pub/agents:v0.4.2"
    names.append(reference)
    first = await Making(engine, tmp_path / "i", tree, reference).go(PUSH=SECRET)
    commit(tree, {"more": "1"})
    second = await Making(engine, tmp_path / "i", tree, reference).go(PUSH=SECRET)
    assert first.exit_code == 0
    assert second.exit_code == 4
    assert second.error is not None and second.error["code"] == "tag.elsewhere"


async def test_a_build_that_fails_says_where_and_leaves_nothing(
    engine: Engine, guarded: Registry, tree: Path, tmp_path: Path
) -> None:
    commit(tree, {"docker/agents/Dockerfile": DOCKERFILE + "COPY nosuchfile /x\n"})
    making = Making(engine, tmp_path / "i", tree, f"{guarded.address}/pub/agents:v0.4.3")
    ended = await making.go(PUSH=SECRET)
    assert ended.exit_code == 1
    assert ended.error is not None and ended.error["code"] == "build.failed"
    assert "nosuchfile" in ended.error["why"]
    assert making.states() == {"build": "failed"}
    assert not (making.run.path / "export").exists()
    # Mended: the next try builds, and nothing before it is repeated.
    commit(tree, {"nosuchfile": "now there"})


async def test_a_registry_that_is_not_there_is_tried_again_and_finished_later(
    engine: Engine, tree: Path, tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops_images, "_PUSH_PAUSES", (0.1,))
    with open_registry(tmp_path / "registry") as registry:
        reference = f"{registry.address}/x/agents:v0.4.0"
        names.append(reference)
        making = Making(engine, tmp_path / "i", tree, reference)
        monkeypatch.setattr(PushImage, "check", never_done)
        assert (await making.go()).exit_code == 0
    ended = await making.go()
    assert ended.exit_code == 3
    assert making.states() == {"build": "skipped", "tag": "skipped", "push": "failed"}


async def never_done(self: PushImage, ctx: object, params: object) -> None:
    """Whatever the registry has, push."""


@pytest.mark.parametrize("often", [1, 9])
async def test_a_builder_whose_log_breaks_off_is_asked_again(
    engine: Engine,
    guarded: Registry,
    tree: Path,
    tmp_path: Path,
    names: list[str],
    monkeypatch: pytest.MonkeyPatch,
    often: int,
) -> None:
    """Its client was not done reading when the engine left: what is built is in the cache, the log is not whole."""
    asked = 0

    async def flaky(command: Command, *, on_lines: LineSink) -> Result:
        nonlocal asked
        asked += 1
        if asked > often:
            return await run(command, on_lines=on_lines)
        on_lines(
            "err", ["ERROR: failed to receive status: rpc error: code = Canceled desc = context canceled"]
        )
        return Result(command, 1, "", "")

    monkeypatch.setattr(ops_build, "run", flaky)
    reference = f"{guarded.address}/pub/agents:v0.5.{often}"
    names.append(reference)
    making = Making(engine, tmp_path / "i", tree, reference)
    ended = await making.go(PUSH=SECRET)
    if often == 1:
        assert (ended.exit_code, asked, ended.result["log_clipped"]) == (0, 2, 1)
        assert "▲ the log broke off before its end" in making.log
    else:
        assert (ended.exit_code, asked) == (3, 3)
        assert ended.error is not None and ended.error["code"] == "build.lost"


async def test_a_log_that_the_builder_clips_is_counted_and_said(
    engine: Engine, guarded: Registry, tree: Path, tmp_path: Path, names: list[str]
) -> None:
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, tree / "busybox")
    noisy = "FROM scratch\nCOPY busybox /bin/busybox\n"
    # Named after the session: what the builder has in its cache prints nothing.
    program = (
        f'BEGIN {{ while (n++ < 60000) print n, "{engine.session}, a line of a log that is much too long" }}'
    )
    noisy += f"RUN {json.dumps(['/bin/busybox', 'awk', program])}\n"
    noisy += 'RUN ["/bin/busybox", "true"]\n'
    commit(tree, {"docker/agents/Dockerfile": noisy})
    reference = f"{guarded.address}/pub/agents:v0.4.4"
    names.append(reference)
    making = Making(engine, tmp_path / "i", tree, reference)
    ended = await making.go(PUSH=SECRET)
    assert ended.exit_code == 0, ended.error
    assert ended.result["log_clipped"] >= 1
    assert "BUILDKIT_STEP_LOG_MAX_SPEED" in making.log
    bars = [event for event in making.run.events() if isinstance(event, Progress) and event.item == "build"]
    assert {event.total for event in bars} == {3}
