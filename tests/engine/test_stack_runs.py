"""A generated stack on a real engine, with the sample agents image and stand-ins for third-party servers."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from disinto_tui.adapters.resources import template
from disinto_tui.core.companions import DIRECTORIES, TEMPLATES, companions
from disinto_tui.core.model import Factory, Images, LocalAgent, Ports, Project
from disinto_tui.core.stack import StackInputs, build_stack, dump_compose
from disinto_tui.core.stack_env import env_skeleton
from tests.engine.conftest import SampleImages
from tests.support.engine import Engine

Compose = Callable[..., subprocess.CompletedProcess[str]]


def inputs_for(name: str, images: SampleImages) -> StackInputs:
    web, tools = images.stand_ins["web"], images.stand_ins["busybox"]
    factory = Factory(
        project=name,
        ports=Ports(forge=0, ci=0, ci_grpc=39753, ci_health=39754, http=0, https=0),
        bind="127.0.0.1",
        images=Images(
            forgejo=images.stand_ins["forgejo"],
            woodpecker=images.stand_ins["woodpecker"],
            caddy=web,
            staging=web,
            staging_deploy=tools,
        ),
    )
    qwen = LocalAgent("qwen", "http://10.0.0.5:8081", "qwen3", forge_user="qwen-bot")
    return StackInputs((Project("app", "acme/app", "acme/app-ops", agents=(qwen,), factory=factory),))


@pytest.fixture
def stack(engine: Engine, sample_images: SampleImages, project: str, tmp_path: Path) -> Compose:
    """`docker compose` in an instance directory that has everything an instance has."""
    inputs = inputs_for(project, sample_images)
    for directory in DIRECTORIES:
        (tmp_path / directory).mkdir(mode=0o777)
    (tmp_path / "state").chmod(0o777)
    for file in companions(inputs, {name: template(name) for name in TEMPLATES}):
        (tmp_path / file.path).parent.mkdir(exist_ok=True)
        (tmp_path / file.path).write_text(file.text)
    (tmp_path / "docker-compose.yml").write_text(dump_compose(build_stack(inputs), tool_version="1.0"))
    values = {
        "AGENTS_IMAGE": sample_images.reference("v0.1.0"),
        "CLAUDE_SHARED_DIR": str(tmp_path / "claude"),
    }
    (tmp_path / ".env").write_text(env_skeleton(inputs, values))

    def compose(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "compose", *argv],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": engine.endpoint}
            | {"DOCKER_CONFIG": str(Path("~/.docker").expanduser())},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return compose


def health(engine: Engine, container: str) -> str:
    state = json.loads(engine.docker("inspect", "-f", "{{json .State}}", container).stdout)
    return str(state.get("Health", {}).get("Status") or state["Status"])


# woodpecker-agent is privileged and on the host's network: not for a test's engine.
RUNNING = ("forgejo", "woodpecker", "agents", "agents-qwen", "edge", "staging")


def test_a_factory_is_healthy_within_seconds_and_its_mounts_are_what_they_should_be(
    engine: Engine, stack: Compose, project: str
) -> None:
    up = stack("up", "-d", *RUNNING)
    assert up.returncode == 0, up.stderr
    names = {name: f"{project}-{name}" for name in RUNNING} | {"staging": f"{project}-staging-1"}
    wanted = dict.fromkeys(RUNNING, "healthy")
    started, found = time.monotonic(), {}
    while time.monotonic() - started < 120 and found != wanted:
        time.sleep(0.2)
        found = {name: health(engine, container) for name, container in names.items()}
    assert found == wanted
    for service in ("agents", "agents-qwen"):
        mounts = json.loads(engine.docker("inspect", "-f", "{{json .Mounts}}", names[service]).stdout)
        anonymous = [m for m in mounts if m["Type"] == "volume" and len(m["Name"]) == 64]
        assert anonymous == [], "a declared volume without a mount is data out of sight"
        said = engine.docker("logs", names[service]).stdout
        assert "Entering polling loop" in said
    assert "roles: dev)" in engine.docker("logs", names["agents-qwen"]).stdout

    engine.docker("stop", "-t", "60", names["agents"])
    code = engine.docker("inspect", "-f", "{{.State.ExitCode}}", names["agents"]).stdout.strip()
    assert code == "0", "a polling loop hears TERM: who does not is killed, which is 137"


def test_a_missing_bind_source_fails_and_leaves_no_directory_behind(
    engine: Engine, stack: Compose, project: str, tmp_path: Path
) -> None:
    (tmp_path / "docker" / "Caddyfile").unlink()
    up = stack("up", "-d", "--no-deps", "edge")
    assert up.returncode != 0
    assert "Caddyfile" in up.stderr
    assert not (tmp_path / "docker" / "Caddyfile").exists()
