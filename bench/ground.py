"""Instances to look at: an empty directory, a compose file that nobody started, and a factory that runs.

The running one needs a Docker Engine (the ground scripts bring one up when none answers), stands on a registry on
loopback, and is removed at the end by its session's label and project name.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.measure import ROOT, NotMeasured
from disinto_tui.adapters.resources import template
from disinto_tui.core.companions import DIRECTORIES, TEMPLATES, companions
from disinto_tui.core.model import Factory, Images, LocalAgent, Ports, Project
from disinto_tui.core.stack import StackInputs, build_stack, dump_compose
from disinto_tui.core.stack_env import env_skeleton
from tests.support.engine import Engine, find_engine, ground_registry
from tests.support.registries import open_registry, push_samples, push_stand_ins, registry_binary

# woodpecker-agent is privileged and on the host's network: not for a benchmark.
SERVICES = ("forgejo", "woodpecker", "agents", "agents-qwen", "edge", "staging")
VERSION = "v0.2.0"
NAMES_ONLY = dict.fromkeys(("web", "busybox", "forgejo", "woodpecker"), "registry.invalid/ground/any:1")
_STATE = Path(os.environ.get("DISINTO_GROUND") or ROOT / ".ground")


@dataclass(frozen=True)
class Instance:
    """A directory, its compose project, and the engine's address ("" where nothing runs)."""

    directory: Path
    project: str
    endpoint: str = ""

    def environment(self) -> dict[str, str]:
        """For a program that looks at it: this engine, and no settings of whoever measures."""
        own = {"XDG_CONFIG_HOME": str(self.directory.parent / "no-settings")}
        return {**own, "DOCKER_HOST": self.endpoint} if self.endpoint else own

    def compose(self, *argv: str) -> list[str]:
        return ["docker", "compose", "--project-directory", str(self.directory), "-p", self.project, *argv]


def write_instance(
    directory: Path, project: str, images: dict[str, str], agents_image: str, endpoint: str = ""
) -> Instance:
    """The files that `disinto init` would write for a factory with one more agent."""
    chosen = Images(
        forgejo=images["forgejo"],
        woodpecker=images["woodpecker"],
        caddy=images["web"],
        staging=images["web"],
        staging_deploy=images["busybox"],
    )
    ports = Ports(forge=0, ci=0, ci_grpc=39753, ci_health=39754, http=0, https=0)
    factory = Factory(project=project, ports=ports, bind="127.0.0.1", images=chosen)
    qwen = LocalAgent("qwen", "http://10.0.0.5:8081", "qwen3", forge_user="qwen-bot")
    inputs = StackInputs((Project("app", "acme/app", "acme/app-ops", agents=(qwen,), factory=factory),))
    directory.mkdir(parents=True)
    for name in DIRECTORIES:
        (directory / name).mkdir(mode=0o777)
    (directory / "state").chmod(0o777)
    for file in companions(inputs, {name: template(name) for name in TEMPLATES}):
        (directory / file.path).parent.mkdir(exist_ok=True)
        (directory / file.path).write_text(file.text)
    (directory / "docker-compose.yml").write_text(dump_compose(build_stack(inputs), tool_version="1.0"))
    values = {"AGENTS_IMAGE": agents_image, "CLAUDE_SHARED_DIR": str(directory.parent / "claude")}
    (directory / ".env").write_text(env_skeleton(inputs, values))
    return Instance(directory, project, endpoint)


def empty_instance(base: Path) -> Instance:
    directory = base / "empty"
    directory.mkdir(exist_ok=True)
    return Instance(directory, "empty")


def stopped_instance(base: Path) -> Instance:
    """A compose file and `.env`, nothing of it on any engine."""
    directory = base / "stopped"
    if directory.exists():
        return Instance(directory, "stopped")
    return write_instance(directory, "stopped", NAMES_ONLY, f"registry.invalid/agents:{VERSION}")


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """The engine, brought up for the length of the `with` when none answers. Raises NotMeasured."""
    who = ("--state", str(_STATE), "--for", f"bench-{os.getpid()}")
    packages = ("docker-registry", "busybox-static")
    up = subprocess.run(
        [str(ROOT / "docker/engine/up.sh"), *who, "--while", str(os.getpid()), *packages],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    try:
        found = None if up.returncode else find_engine(uuid.uuid4().hex[:8])
        if found is None:
            last = (up.stderr.strip() or "docker/engine/up.sh gave no reason").splitlines()[-1]
            raise NotMeasured(last.partition(". ")[0])
        yield found
    finally:
        subprocess.run(
            [str(ROOT / "docker/engine/down.sh"), *who],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def running_instance(base: Path) -> Iterator[Instance]:
    """A factory of six services that runs and is healthy. Raises NotMeasured without an engine."""
    with contextlib.ExitStack() as ending:
        found = ending.enter_context(engine())
        registry = ground_registry()
        if registry is None:
            if registry_binary() is None:
                raise NotMeasured("docker-registry is not installed (docker/engine/up.sh docker-registry)")
            registry = ending.enter_context(open_registry(base / "registry")).address
        before = found.references()
        ending.callback(_remove, found, registry, before)
        project = f"{found.prefix}-bench"
        repository = f"{found.prefix}/agents"
        push_samples(registry, (VERSION,), repository=repository)
        images = push_stand_ins(registry)
        reference = f"{registry}/{repository}:{VERSION}"
        one = write_instance(base / "running", project, images, reference, found.endpoint)
        up = subprocess.run(
            one.compose("up", "-d", *SERVICES),
            env={**os.environ, **one.environment()},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if up.returncode:
            raise RuntimeError(f"the factory did not start: {up.stderr[-800:]}")
        _until_healthy(found, f"{project}-agents")
        yield one


def _until_healthy(found: Engine, container: str) -> None:
    end = time.monotonic() + 40
    while time.monotonic() < end:
        said = found.docker("inspect", "-f", "{{.State.Health.Status}}", container).stdout.strip()
        if said == "healthy":
            return
        time.sleep(0.3)
    raise RuntimeError(f"{container} did not become healthy within 40 s")


def _remove(found: Engine, registry: str, before: set[str]) -> None:
    found.sweep()
    # What another session pulls from the same registry meanwhile is its own.
    ours = (f"{registry}/{found.prefix}/", f"{registry}/ground/")
    pulled = [name for name in found.references() - before if name.startswith(ours)]
    if pulled:
        found.docker("rmi", *pulled, check=False)
