"""Generated stacks against the real `docker compose config`: valid with all profiles, and what comes of them.

Only the Compose plugin is needed here, no daemon; it is marked with the rest of the folder, so that a machine
without it says so instead of skipping in silence.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.core.model import AGENT_VOLUMES, Ci, Factory, Images, LocalAgent, Ports, Project
from disinto_tui.core.stack import HostFacts, StackInputs, agents_services, build_stack, dump_compose
from disinto_tui.core.stack_diff import semantic_diff
from disinto_tui.core.stack_env import env_skeleton

APP = Project("app", "acme/app", "acme/app-ops", forge_url="https://forge.example.org", ci=Ci(7))
QWEN = LocalAgent(
    "qwen", "http://10.0.0.5:8081", "qwen3:8b$x", roles=("dev", "review"), forge_user="qwen-bot"
)
LLAMA = LocalAgent(
    "llama-2", "http://10.0.0.6:8081/v1", "llama", forge_user="llama-bot", api_key="sk-x$y'z"[:6]
)
HOST = HostFacts("/home/ops", True, True, True, True)
FULL = Images(edge="ghcr.io/disinto/edge:v0.3.0", reproduce="ghcr.io/disinto/reproduce:v0.3.0")
PIN = "registry.example.org:5000/disinto/agents:v0.3.0"

STACKS = {
    "bundled": StackInputs((APP,)),
    "external": StackInputs((replace(APP, factory=Factory(forge="external", bind="127.0.0.1")),)),
    "build mode": StackInputs((APP,), image_mode=False, build_context="/src/disinto"),
    "two local agents": StackInputs(
        (APP, Project("zoo", "acme/zoo", "acme/zoo-ops", ci=Ci(12), agents=(QWEN, LLAMA))), host=HOST
    ),
    "full edge and reproduce": StackInputs(
        (replace(APP, agents=(QWEN,), factory=Factory(images=FULL, bind="::1", ports=Ports(https=0))),),
        host=HOST,
    ),
    "a home with a blank and a dollar": StackInputs((APP,), host=replace(HOST, home="/home/o o$x")),
}


def compose(directory: Path, inputs: StackInputs, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`docker compose` on the generated stack, all profiles, nothing of this shell's environment."""
    (directory / "docker-compose.yml").write_text(dump_compose(build_stack(inputs), tool_version="1.0"))
    (directory / ".env").write_text(env_skeleton(inputs, {}))
    return subprocess.run(
        ["docker", "compose", "--profile", "*", *argv],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def resolved(directory: Path, inputs: StackInputs) -> dict[str, Any]:
    done = compose(directory, inputs, "config", "--format", "json", AGENTS_IMAGE=PIN)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", STACKS)
def test_every_stack_is_valid_and_warns_of_nothing(name: str, tmp_path: Path) -> None:
    done = compose(tmp_path, STACKS[name], "config", "-q", AGENTS_IMAGE=PIN)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", STACKS)
def test_what_it_resolves_to(name: str, tmp_path: Path) -> None:
    inputs = STACKS[name]
    found = resolved(tmp_path, inputs)
    services = found["services"]
    assert found["name"] == "disinto"
    assert list(services) == sorted(build_stack(inputs)["services"])
    for service in agents_services(found):
        if inputs.image_mode:
            assert services[service]["image"] == PIN
            assert "build" not in services[service]
        else:
            assert services[service]["build"] == {
                "context": "/src/disinto",
                "dockerfile": "docker/agents/Dockerfile",
            }
            assert "image" not in services[service]
        mounted = {mount["target"]: mount for mount in services[service]["volumes"]}
        assert set(AGENT_VOLUMES) <= set(mounted)
        projects, state = mounted[AGENT_VOLUMES[2]], mounted[AGENT_VOLUMES[3]]
        assert (projects["type"], projects["source"]) == ("bind", str(tmp_path / "projects"))
        assert projects["read_only"] is True
        assert (state["source"], state.get("read_only")) == (str(tmp_path / "state"), None)
        for declared in AGENT_VOLUMES[:2]:
            assert mounted[declared]["type"] == "volume"
            assert mounted[declared]["source"] in found["volumes"]
    for volume in found["volumes"]:
        assert found["volumes"][volume]["name"] == f"disinto_{volume}"


def test_without_a_version_the_reason_is_said(tmp_path: Path) -> None:
    done = compose(tmp_path, STACKS["bundled"], "config", "-q")
    assert done.returncode != 0
    assert "AGENTS_IMAGE in .env is the version to run and is not set: disinto use VERSION" in done.stderr


def test_build_mode_needs_no_version(tmp_path: Path) -> None:
    assert compose(tmp_path, STACKS["build mode"], "config", "-q").returncode == 0


def test_local_agents_have_own_data_own_identity_and_literal_settings(tmp_path: Path) -> None:
    services = resolved(tmp_path, STACKS["two local agents"])["services"]
    qwen, llama = services["agents-qwen"], services["agents-llama-2"]
    sources = [
        {mount["source"] for mount in s["volumes"] if mount["type"] == "volume"} for s in (qwen, llama)
    ]
    assert sources[0] & sources[1] == {"woodpecker-data"}
    env = qwen["environment"]
    assert env["CLAUDE_MODEL"] == "qwen3:8b$$x", "config prints a literal dollar doubled"
    assert env["AGENT_ROLES"] == "dev,review"
    assert env["ANTHROPIC_API_KEY"] == "sk-no-key-required"
    assert llama["environment"]["ANTHROPIC_API_KEY"] == "sk-x$$y"
    assert services["agents"]["environment"]["WOODPECKER_REPO_ID"] == "12"


def test_paths_with_blanks_and_dollars_arrive_whole(tmp_path: Path) -> None:
    agents = resolved(tmp_path, STACKS["a home with a blank and a dollar"])["services"]["agents"]
    sources = {mount["target"]: mount["source"] for mount in agents["volumes"]}
    assert sources["/home/agent/.ssh"] == "/home/o o$$x/.ssh"


def test_published_ports(tmp_path: Path) -> None:
    services = resolved(tmp_path, STACKS["full edge and reproduce"])["services"]
    assert [(p["host_ip"], p["published"], p["target"]) for p in services["edge"]["ports"]] == [
        ("::1", "80", 80)
    ]
    assert services["woodpecker-agent"]["environment"]["WOODPECKER_SERVER"] == "[::1]:9000"


@pytest.mark.parametrize("name", ["bundled", "external"])
def test_the_diff_takes_what_compose_writes_out_for_the_same(name: str, tmp_path: Path) -> None:
    """Compose's canonical form of a file differs from the file in words alone."""
    argv = ("config", "--no-interpolate", "--format", "json")
    done = compose(tmp_path, STACKS[name], *argv, AGENTS_IMAGE=PIN)
    assert done.returncode == 0, done.stderr
    # It takes a variable for a relative path, too.
    text = done.stdout.replace(f"{tmp_path}/$", "$").replace(f"{tmp_path}/", "./")
    assert semantic_diff(build_stack(STACKS[name]), json.loads(text)) == ()
