"""The real agents image, built for real: what is in it, what it refuses, how it stops."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.test_ground import VOLUMES, health
from tests.support.engine import ROOT, Engine, ground_directories, inspect
from tests.support.forge_double import USER_TOKEN, ForgeDouble
from tests.support.processes import poll

pytestmark = pytest.mark.slow

PROJECT = 'name = "shop"\nrepo = "acme/shop"\n'
# In the tree, and not to be in the image.
KEPT_OUT = (
    ".env",
    ".env.enc",
    "secrets/key",
    ".git/HEAD",
    "projects/shop.toml",
    "state/.dev-active",
    "docker-compose.yml",
)
LONG_ROLE = "echo review on $1 as $(id -un); sleep 60\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small factory checkout, secrets lying about as they do."""
    tree = tmp_path_factory.mktemp("factory")
    for name in KEPT_OUT:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("hush\n")
    (tree / "projects" / "shop.toml.example").write_text(PROJECT)
    (tree / "review").mkdir()
    (tree / "review" / "review-poll.sh").write_text(LONG_ROLE)
    agents = tree / "docker" / "agents"
    agents.mkdir(parents=True)
    for name in ("Dockerfile", "Dockerfile.dockerignore", "entrypoint.sh", "heartbeat"):
        (agents / name).write_bytes((ROOT / "docker" / "agents" / name).read_bytes())
    return tree


@pytest.fixture(scope="module")
def image(engine: Engine, tree: Path) -> Iterator[str]:
    script = ROOT / "docker" / "agents" / "base.sh"
    state = ground_directories()[0]
    made = subprocess.run(
        [str(script), "--state", str(state)],
        capture_output=True,
        text=True,
        check=False,
        env=engine.environment(),
    )
    assert made.returncode == 0, made.stderr
    tag = f"{engine.prefix}/real-agents:v0.9.0"
    arguments = {"BASE": made.stdout.strip(), "NODE": "no", "VERSION": "v0.9.0", "REVISION": "abc123"}
    argv = [
        "docker",
        "build",
        "-q",
        "-f",
        str(tree / "docker/agents/Dockerfile"),
        "-t",
        tag,
        "--label",
        engine.label,
    ]
    for name, value in arguments.items():
        argv += ["--build-arg", f"{name}={value}"]
    built = subprocess.run(
        [*argv, str(tree)], capture_output=True, text=True, check=False, env=engine.environment()
    )
    assert built.returncode == 0, built.stderr
    yield tag
    engine.remove(f"label={engine.label}")
    engine.docker("rmi", tag, check=False)


def once(engine: Engine, image: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """One container to its end; options first, then the image, then its arguments after `--`."""
    options, _, arguments = " ".join(argv).partition("--- ")
    return engine.docker(
        "run", "--rm", "--label", engine.label, *options.split(), image, *arguments.split(), check=False
    )


def test_metadata(engine: Engine, image: str) -> None:
    config = inspect(engine, "image", image)["Config"]
    assert isinstance(config, dict)
    assert set(config["Volumes"]) == VOLUMES
    assert config["Labels"]["org.opencontainers.image.version"] == "v0.9.0"
    assert config["Labels"]["org.opencontainers.image.revision"] == "abc123"
    assert config["Healthcheck"]["Interval"] <= 5 * 10**9
    assert not config.get("User"), "the entrypoint starts as root to prepare volumes, then drops"


def test_arguments_run_as_agent(engine: Engine, image: str) -> None:
    assert once(engine, image, "--- id -u").stdout == "1000\n"


def test_no_secret_is_in_it(engine: Engine, image: str) -> None:
    found = once(engine, image, "--- find /home/agent/disinto -type f").stdout.split()
    names = {name.removeprefix("/home/agent/disinto/") for name in found}
    assert not names & set(KEPT_OUT)
    assert {"projects/shop.toml.example", "review/review-poll.sh"} <= names


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("", "no claude command"),
        ("-e AGENT_REQUIRES_CLAUDE=0", "no *.toml"),
        ("-e ENABLE_LLAMA_AGENT=1", "ENABLE_LLAMA_AGENT=1 is set"),
    ],
)
def test_it_says_why_it_will_not_start(engine: Engine, image: str, options: str, reason: str) -> None:
    done = once(engine, image, options)
    assert done.returncode == 1
    assert f"FATAL: {reason}" in done.stdout or reason in done.stdout
    assert done.stdout.count("FATAL:") == 3


@pytest.fixture
def running(engine: Engine, image: str, tree: Path, tmp_path: Path, forge: ForgeDouble) -> Iterator[str]:
    """The loop in the middle of a role that takes a minute."""
    (tmp_path / "projects").mkdir()
    (tmp_path / "projects" / "shop.toml").write_text(PROJECT)
    for name in ("shop", "shop-ops"):
        (tmp_path / "repos" / name / ".git").mkdir(parents=True)
    secrets = tmp_path / "environment"
    secrets.write_text(f"FORGE_TOKEN={USER_TOKEN}\nFORGE_PASS=hunter2\n")
    argv = ["run", "-d", "--label", engine.label, "--network", "host", "--env-file", str(secrets)]
    argv += ["-e", "AGENT_REQUIRES_CLAUDE=0", "-e", "AGENT_ROLES=review dev", "-e", f"FORGE_URL={forge.url}"]
    argv += [
        "-v",
        f"{tmp_path}/projects:/home/agent/disinto/projects:ro",
        "-v",
        f"{tmp_path}/repos:/home/agent/repos",
    ]
    container = engine.docker(*argv, image).stdout.strip()
    assert poll(120, lambda: "review on" in engine.docker("logs", container).stdout), engine.docker(
        "logs", container
    )
    yield container
    engine.docker("rm", "-fv", container)


def test_the_loop(engine: Engine, running: str) -> None:
    log = engine.docker("logs", running).stdout
    assert "roles: review,dev" in log, "blanks separate roles as commas do"
    assert "as dev-bot" in log
    assert "review on /home/agent/disinto/projects/shop.toml as agent" in log
    assert poll(120, lambda: health(engine, running) == "healthy"), "the heart beats while a role works"
    kept = engine.docker("exec", running, "cat", "/home/agent/data/agent-entrypoint.log").stdout
    assert "Entering polling loop" in kept
    ask = "printf 'protocol=http\\nhost=%s\\n' \"${FORGE_URL#http://}\" | git credential fill"
    filled = engine.docker("exec", "-u", "agent", "-e", "HOME=/home/agent", running, "sh", "-c", ask).stdout
    assert "username=dev-bot" in filled and "password=hunter2" in filled
    processes = engine.docker("exec", running, "ps", "axww", "-o", "args").stdout
    configuration = engine.docker("exec", running, "cat", "/home/agent/.gitconfig").stdout
    assert not any(secret in processes + configuration for secret in ("hunter2", USER_TOKEN))
    engine.docker("stop", "-t", "60", running)
    code = engine.docker("inspect", "--format", "{{.State.ExitCode}}", running).stdout.strip()
    assert code == "0", "TERM is obeyed in the middle of a role: who does not hear it is killed, which is 137"


def test_a_disabled_role_stays_disabled(engine: Engine, running: str) -> None:
    engine.docker("exec", running, "rm", "/home/agent/disinto/state/.reviewer-active")
    engine.docker("restart", "-t", "5", running)
    assert poll(120, lambda: engine.docker("logs", running).stdout.count("Processing project TOML") == 2)
    time.sleep(1)
    assert engine.docker("logs", running).stdout.count("review on") == 1
