"""Directories of factories as earlier generations left them, and their stacks on the real engine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.engine import Engine, inspect
from tests.support.factory import Cli, Factory, Said
from tests.support.generations import PROJECT, SHAPES
from tests.support.processes import free_port

SECRET = "s3cret-token-of-the-dev-bot"


@dataclass
class Old:
    """A stack of an earlier generation, in its directory."""

    factory: Factory
    engine: Engine

    @property
    def project(self) -> str:
        return self.factory.project

    @property
    def directory(self) -> Path:
        return self.factory.directory

    def compose(self, *argv: str) -> None:
        """`docker compose -p PROJECT ARGV` in the directory, as an operator types it."""
        done = self._compose("-p", self.project, *argv)
        assert done.returncode == 0, done.stderr

    def start(self, *argv: str) -> None:
        """`up` with the images that are here. ARGV goes before it."""
        self.compose(*argv, "up", "-d", "--no-build", "--pull", "never")

    def accepted(self) -> bool:
        """Whether Compose takes the files as they are."""
        return self._compose("config", "-q").returncode == 0

    def _compose(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "compose", *argv],
            capture_output=True,
            text=True,
            check=False,
            env=self.factory.cli.environment(),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
        )

    def sh(self, service: str, script: str) -> str:
        return self.engine.docker("exec", f"{self.project}-{service}", "sh", "-c", script).stdout

    def adopt(self, *argv: str) -> Said:
        return self.factory.cli("adopt", *argv)

    def image_of(self, service: str) -> str:
        return str(inspect(self.engine, "container", f"{self.project}-{service}")["Image"])

    def running(self) -> list[str]:
        label = f"label=com.docker.compose.project={self.project}"
        listed = self.engine.docker(
            "ps", "--filter", label, "--format", '{{.Label "com.docker.compose.service"}}'
        )
        return sorted(listed.stdout.split())

    def mounts(self, service: str) -> dict[str, str]:
        found = inspect(self.engine, "container", f"{self.project}-{service}")["Mounts"]
        assert isinstance(found, list)
        return {item["Destination"]: item.get("Name") or item["Source"] for item in found}

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Every file of the directory but the tool's own: content and mode."""
        found = self.factory.files().items()
        return {name: (data, (self.directory / name).stat().st_mode) for name, data in found}

    def end(self, *images: str) -> None:
        """Remove what is of the project, and these names of images."""
        self.engine.remove(f"label=com.docker.compose.project={self.project}")
        for name in images:
            self.engine.docker("rmi", name, check=False)


def local_names(engine: Engine, stand_ins: Mapping[str, str], agents: str) -> dict[str, str]:
    """Images as a host has them that built its agents: pulled, with local names; a Forgejo that declares /data."""
    for reference in (*stand_ins.values(), agents):
        engine.docker("pull", "--quiet", reference)
    forgejo = f"{engine.prefix}/forgejo:1"
    made = engine.docker("create", "--label", engine.label, stand_ins["forgejo"]).stdout.strip()
    engine.docker("commit", "--change", "VOLUME /data", made, forgejo)
    engine.docker("rm", made)
    built = f"{engine.prefix}/agents"
    for tag in ("latest", "v0.1.0"):
        engine.docker("tag", agents, f"{built}:{tag}")
    return {**stand_ins, "forgejo": forgejo, "agents": f"{built}:latest"}


def stood_in(text: str, names: Mapping[str, str], repository: str, project: str) -> str:
    """A compose file of upstream's with stand-ins for real images, and other names for containers."""
    for old, new in (
        ("codeberg.org/forgejo/forgejo:11.0", names["forgejo"]),
        ("woodpeckerci/woodpecker-server:v3", names["woodpecker"]),
        ("woodpeckerci/woodpecker-agent:v3", names["woodpecker-agent"]),
        ("ghcr.io/disinto/edge:${DISINTO_IMAGE_TAG:-latest}", names["web"]),
        ("ghcr.io/disinto/agents", repository),
        ("image: disinto/agents:", f"image: {names['agents'].rpartition(':')[0]}:"),
        ("disinto/agents-llama:latest", names["agents"]),
        ("caddy:alpine", names["web"]),
        ("alpine:3", names["busybox"]),
        ("container_name: disinto-", f"container_name: {project}-"),
        ("privileged: true", "privileged: false"),
        # The sample declares a volume below, and the engine has to make its place there.
        ("./disinto:/home/agent/disinto:ro", "./disinto:/home/agent/disinto"),
    ):
        text = text.replace(old, new)
    return text


def lay_out(
    home: Path,
    engine: Engine,
    names: Mapping[str, str],
    repository: str,
    shape: str,
    *,
    toml: str = "",
    env: str = "",
    override: str = "",
    change: Callable[[str], str] = str,
) -> Old:
    """The directory of a factory of that shape: real names replaced by stand-ins, ports by free ones."""
    project = f"{engine.prefix}-{shape}"
    directory = home / project
    cli = Cli(home, directory, engine.endpoint, warm=True)
    for name in ("projects", "docker", "state"):
        (directory / name).mkdir(parents=True)
    text = stood_in(change(SHAPES[shape].text), names, repository, project)
    for port in (3000, 8000, 9000, 80, 443):
        text = text.replace(f'"{port}:{port}"', f'"127.0.0.1:{free_port()}:{port}"')
    text = text.replace('":3333"', f'":{free_port()}"')  # on the host's network
    (directory / "docker-compose.yml").write_text(text)
    (directory / "docker/Caddyfile").write_text(":80 {\n}\n")
    (directory / "docker/index.html").write_text("Nothing shipped yet")
    (directory / "projects/shop.toml").write_text(PROJECT + toml)
    lines = (
        f"# mine\nFORGE_TOKEN={SECRET}\nCLAUDE_SHARED_DIR={home}/claude\nWOODPECKER_AGENT_SECRET=abc\n{env}"
    )
    (directory / ".env").write_text(lines)
    if override:
        file = directory / "docker-compose.override.yml"
        file.write_text(stood_in(override, names, repository, project))
    return Old(Factory(cli, home / "none", home / "none", project), engine)


def built_here(old: Old, names: Mapping[str, str], services: Sequence[str]) -> list[str]:
    """Name images as `docker compose build` names what it built for these services; the names."""
    made = []
    for service in services:
        name = f"{old.project}-{service}:latest"
        old.engine.docker("tag", names["web" if service in ("edge", "chat") else "agents"], name)
        made.append(name)
    return made


UNTOUCHED = ("woodpecker-agent", "edge", "staging")
"""Services that are the same in every generation, and cost time."""


def quick(text: str) -> str:
    """Impatient healthchecks, as somebody may have written them in."""
    for service, times in (
        ("agents", "start_period: 1s, interval: 1s, retries: 3"),
        ("forgejo", "interval: 1s"),
    ):
        text = text.replace(f"\n  {service}:\n", f"\n  {service}:\n    healthcheck: {{{times}}}\n", 1)
    return text


def lean(text: str, services: Sequence[str] = UNTOUCHED) -> str:
    """Without what is the same in all generations and would only take time: off, as by hand."""
    for service in services:
        text = text.replace(f"\n  {service}:\n", f'\n  {service}:\n    profiles: ["off"]\n', 1)
    return text


def off(names: Mapping[str, str]) -> str:
    """An override by which those services are there and do not run, that a stack without CI would get anew."""

    def lines(name: str) -> str:
        host = "    network_mode: host\n" if name == "woodpecker-agent" else ""
        return f"  {name}:\n    image: {names['busybox']}\n    profiles: ['off']\n{host}"

    return "services:\n" + "".join(lines(name) for name in UNTOUCHED)


def lay_out_pulled(home: Path, engine: Engine, names: Mapping[str, str], repository: str) -> Old:
    """The directory of the newest generation, with images by a tag in `.env`; quick and lean."""
    tag = "DISINTO_IMAGE_TAG=v0.1.0\n"
    return lay_out(home, engine, names, repository, "head", env=tag, change=lambda text: lean(quick(text)))


QWEN = '[agents.qwen]\nbase_url = "http://model:8080"\nmodel = "q"\nforge_user = "qwen-bot"\n'
"""A local-model agent in a project file."""
TRACKED = """
[factory]
project = "{project}"
bind = "127.0.0.1"
[factory.ports]
forge = {forge}
ci = 0
ci_grpc = {grpc}
http = 0
https = 0
[factory.images]
forgejo = "{forgejo}"
woodpecker = "{woodpecker}"
woodpecker_agent = "{agent}"
caddy = "{web}"
staging = "{web}"
staging_deploy = "{busybox}"
"""
"""What a project file says beside a hand-made stack without CI, so that the new one needs no image of others."""


def tracked_table(engine: Engine, names: Mapping[str, str], shape: str) -> str:
    """`TRACKED` for a shape, on free ports."""
    images = {key: names[key] for key in ("forgejo", "woodpecker", "web", "busybox")}
    ports = {"forge": free_port(), "grpc": free_port()}
    return TRACKED.format(
        project=f"{engine.prefix}-{shape}", agent=names["woodpecker-agent"], **ports, **images
    )
