"""What a project file says, as typed objects: the shape every other module works with.

One `projects/<name>.toml` describes one project. The optional `[factory]` table describes the instance
that runs it: where its agents image comes from, which parts it has, which ports it publishes. `project.py`
reads these from TOML and is the only writer; a field's docstring is the reference the operator reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_REPOSITORY = "ghcr.io/disinto/agents"
"""Where agents images are published (facts: 9.1 of the upstream's published names)."""

AGENT_VOLUMES = (
    "/home/agent/data",
    "/home/agent/repos",
    "/home/agent/disinto/projects",
    "/home/agent/disinto/state",
)
"""The VOLUMEs the agents image declares; every service using the image mounts each exactly."""

NO_API_KEY = "sk-no-key-required"
"""The `api_key` of an endpoint that asks for none; any other value is a secret."""

ForgeKind = Literal["bundled", "external"]


@dataclass(frozen=True, slots=True)
class Ci:
    """`[ci]`: the Woodpecker side of the project."""

    woodpecker_repo_id: int = 0
    stale_minutes: int = 60


@dataclass(frozen=True, slots=True)
class Monitoring:
    """`[monitoring]`: what upstream's supervisor looks at."""

    check_prs: bool = True
    check_dev_agent: bool = True
    check_pipeline_stall: bool = False


@dataclass(frozen=True, slots=True)
class LocalAgent:
    """`[agents.<name>]` with `base_url` and `model`: one more agents service on another endpoint."""

    name: str
    base_url: str
    model: str
    api_key: str = field(default=NO_API_KEY, repr=False)
    roles: tuple[str, ...] = ("dev",)
    forge_user: str = ""
    compact_pct: int = 60
    poll_interval: int = 60

    @property
    def service(self) -> str:
        """The compose service: `agents-` and the name, lower-cased, others than [a-z0-9] as a dash."""
        plain = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
        return "agents-" + "".join(c if c in plain else "-" for c in self.name.lower())

    @property
    def variable_suffix(self) -> str:
        """The suffix of its `.env` variables: forge_user upper-cased, `-` as `_` (`FORGE_TOKEN_<suffix>`)."""
        return self.forge_user.upper().replace("-", "_")

    @property
    def api_key_variable(self) -> str:
        """The `.env` variable that holds its API key. Named after the service, which is unique, since two
        agents may share a forge user."""
        return "ANTHROPIC_API_KEY_" + self.service.removeprefix("agents-").upper().replace("-", "_")


@dataclass(frozen=True, slots=True)
class Ports:
    """`[factory.ports]`: what the host publishes. 0 publishes nothing for that part.

    `ci_grpc` and `ci_health` cannot be 0: the CI agent runs on the host's network, reaches the server through
    the first and answers its health check on the second."""

    forge: int = 3000
    ci: int = 8000
    ci_grpc: int = 9000
    ci_health: int = 3333
    http: int = 80
    https: int = 443


@dataclass(frozen=True, slots=True)
class Images:
    """`[factory.images]`: images of the parts that are not agents. Empty `edge` is a plain Caddy, empty
    `reproduce` leaves that service out."""

    forgejo: str = "codeberg.org/forgejo/forgejo:11.0"
    woodpecker: str = "woodpeckerci/woodpecker-server:v3"
    woodpecker_agent: str = "woodpeckerci/woodpecker-agent:v3"
    edge: str = ""
    caddy: str = "caddy:alpine"
    staging: str = "caddy:alpine"
    staging_deploy: str = "alpine:3"
    reproduce: str = ""


@dataclass(frozen=True, slots=True)
class Factory:
    """`[factory]`: the instance. Everything has a default; a project file without the table is complete."""

    agents_image: str = DEFAULT_REPOSITORY
    """The repository of the agents image, without tag or digest."""
    version: str = ""
    """The version to start with (`v0.3.0`); empty is the newest release in the registry."""
    forge: ForgeKind = "bundled"
    project: str = "disinto"
    """The compose project name: the prefix of every volume and network, so it never changes on a live
    instance."""
    bind: str = ""
    """The host address ports are published on; empty is every address."""
    ports: Ports = field(default_factory=Ports)
    images: Images = field(default_factory=Images)
    pin_digest: bool = False
    """Whether what is pinned is `name:tag@sha256:…`, so that no tag can move under the instance."""


@dataclass(frozen=True, slots=True)
class Project:
    """One project file, whole and checked."""

    name: str
    repo: str
    ops_repo: str
    forge_url: str = "http://localhost:3000"
    repo_root: str = ""
    ops_repo_root: str = ""
    primary_branch: str = "main"
    ci: Ci = field(default_factory=Ci)
    containers: tuple[str, ...] = ()
    """`[services].containers`."""
    monitoring: Monitoring = field(default_factory=Monitoring)
    mirrors: Mapping[str, str] = field(default_factory=dict)
    agents: tuple[LocalAgent, ...] = ()
    factory: Factory = field(default_factory=Factory)
