"""The services of a factory, one function each, as the plain data of a compose file.

Values follow upstream's generator; where it was found wrong the reason stands beside the line. What is
literal passes through `literal`, so that Compose does not interpolate it; secrets are only ever references.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .model import AGENT_VOLUMES, NO_API_KEY, Factory, LocalAgent, Project

Service = dict[str, Any]

NETWORK = "disinto-net"
FORGE_INSIDE = "http://forgejo:3000"
IMAGE_REFERENCE = (
    "${AGENTS_IMAGE:?AGENTS_IMAGE in .env is the version to run and is not set: disinto use VERSION sets it}"
)
"""The image of every service that uses the agents image, in image mode. `:?` and no default: a factory
without a pin must not start on whatever is around."""

AGENTS_DOCKERFILE = "docker/agents/Dockerfile"
CLAUDE_SHARED = "${CLAUDE_SHARED_DIR:-/var/lib/disinto/claude-shared}"
CLAUDE_CONFIG = "${CLAUDE_CONFIG_DIR:-" + CLAUDE_SHARED + "/config}"
SITE_DIRECTORY = "site"
CADDYFILE = "docker/Caddyfile"
TUNNEL_KEY = "secrets/tunnel_key"
FACTORY_REPOSITORY = "disinto-admin/disinto"

ROLE_TOKENS = ("REVIEW", "PLANNER", "GARDENER", "VAULT", "SUPERVISOR", "PREDICTOR", "ARCHITECT", "FILER")
"""`FORGE_<ROLE>_TOKEN`: one forge user a role."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the host has, since a bind mount whose source is missing makes Docker create a directory there.

    `home` is the operator's home directory on the engine's host, "" when it has none.
    """

    home: str = ""
    claude_json: bool = False
    """`~/.claude.json`, or the file named by CLAUDE_CONFIG_FILE, exists."""
    ssh_dir: bool = False
    """`~/.ssh`, or AGENT_SSH_DIR, exists."""
    sops_age_dir: bool = False
    """`~/.config/sops/age`, or SOPS_AGE_DIR, exists."""
    tunnel_key: bool = False
    """`secrets/tunnel_key` exists in the instance directory."""
    docker_socket: str = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class StackInputs:
    """All that a stack depends on. The projects share one factory (`read_projects` sees to that); the first
    one's values stand in the agents' environment, as the image reads them."""

    projects: tuple[Project, ...]
    image_mode: bool = True
    build_context: str | None = None
    """In build mode the directory with `docker/agents/Dockerfile`; None is the instance directory."""
    host: HostFacts = field(default_factory=HostFacts)
    container_prefix: str = ""
    """The prefix of container names; empty is the compose project. An adopted instance keeps its own."""

    @property
    def factory(self) -> Factory:
        """The instance's factory."""
        return self.projects[0].factory

    @property
    def primary(self) -> Project:
        """The project whose values the agents' environment carries."""
        return self.projects[0]

    @property
    def bundled(self) -> bool:
        """Whether forge and CI are part of the stack."""
        return self.factory.forge == "bundled"

    @property
    def forge_inside(self) -> str:
        """The forge as containers see it."""
        return FORGE_INSIDE if self.bundled else self.primary.forge_url

    @property
    def local_agents(self) -> tuple[tuple[Project, LocalAgent], ...]:
        """Every local-model agent with its project."""
        return tuple((project, agent) for project in self.projects for agent in project.agents)

    def container(self, service: str) -> str:
        """The container name of a service: two factories on one host must not clash."""
        return f"{self.container_prefix or self.factory.project}-{service}"


def literal(text: str) -> str:
    """Text that Compose must not interpolate: each dollar doubled."""
    return text.replace("$", "$$")


def bind_mount(source: str, target: str, *, read_only: bool = False, create: bool = False) -> dict[str, Any]:
    """A bind mount whose source must exist, unless `create` lets Docker make a directory there, as the short
    form always does. (A variable in the short form also breaks `config --no-interpolate`.)"""
    mount: dict[str, Any] = {"type": "bind", "source": source, "target": target}
    if read_only:
        mount["read_only"] = True
    mount["bind"] = {"create_host_path": create}
    return mount


def _home(inputs: StackInputs, variable: str, path: str) -> str:
    place = f"{inputs.host.home.rstrip('/')}/{path}"
    return literal(place) if "}" in place else f"${{{variable}:-{literal(place)}}}"


def claude_mounts(inputs: StackInputs) -> list[Any]:
    """Claude's shared directory, at the same absolute path on the host and in every container: copies of
    OAuth credentials invalidate one another. The entrypoint puts its owner right, so Docker may make it."""
    mounts: list[Any] = [bind_mount(CLAUDE_SHARED, CLAUDE_SHARED, create=True)]
    if inputs.host.claude_json and inputs.host.home:
        file = _home(inputs, "CLAUDE_CONFIG_FILE", ".claude.json")
        mounts.append(bind_mount(file, "/home/agent/.claude.json", read_only=True))
    return mounts


def ssh_mounts(inputs: StackInputs) -> list[Any]:
    """The operator's ssh directory, read-only, when there is one."""
    if not (inputs.host.ssh_dir and inputs.host.home):
        return []
    return [bind_mount(_home(inputs, "AGENT_SSH_DIR", ".ssh"), "/home/agent/.ssh", read_only=True)]


def _age(inputs: StackInputs) -> list[Any]:
    if not (inputs.host.sops_age_dir and inputs.host.home):
        return []
    source = _home(inputs, "SOPS_AGE_DIR", ".config/sops/age")
    return [bind_mount(source, "/home/agent/.config/sops/age", read_only=True)]


def agent_mounts(data: str = "agent-data", repos: str = "project-repos") -> list[Any]:
    """The four mounts that match the image's VOLUMEs one to one, in the order of `AGENT_VOLUMES`.

    A volume the image declares and nothing is mounted at becomes an anonymous one, and what is written
    there is lost from sight with the container.
    """
    data_at, repos_at, projects_at, state_at = AGENT_VOLUMES
    return [
        f"{data}:{data_at}",
        f"{repos}:{repos_at}",
        bind_mount("./projects", projects_at, read_only=True),
        bind_mount("./state", state_at),
    ]


def _image_or_build(inputs: StackInputs) -> Service:
    # Never both: with both, a version that cannot be pulled is silently built from whatever lies around
    # and tagged with the release's name.
    if inputs.image_mode:
        return {"image": IMAGE_REFERENCE}
    context = literal(inputs.build_context or ".")
    return {"build": {"context": context, "dockerfile": AGENTS_DOCKERFILE}, "pull_policy": "build"}


def _agents_check() -> Service:
    # New images bring a heartbeat; in older ones the loop's process is all there is to see. The brackets
    # keep the pattern from finding the probe's own shell. The interval is how long a switch waits.
    heartbeat = "if [ -x /heartbeat ]; then exec /heartbeat; fi"
    return {
        "test": ["CMD-SHELL", f"{heartbeat}; pgrep -f '[e]ntrypoint.sh' >/dev/null"],
        "interval": "2s",
        "timeout": "5s",
        "retries": 5,
        "start_period": "30s",
    }


def _pace() -> Service:
    # No test: Woodpecker's images bring their own (and have no shell or wget to run another one).
    return {"interval": "3s", "timeout": "3s", "retries": 10, "start_period": "30s"}


def lasting(inputs: StackInputs, service: str) -> Service:
    """What a service that outlives reboots carries; the name is kept so that an operator finds it."""
    return {"container_name": inputs.container(service), "restart": "unless-stopped", **unconfined()}


def unconfined() -> Service:
    """What every service carries: under AppArmor in LXD Forgejo was seen at 170 % CPU."""
    return {"security_opt": ["apparmor=unconfined"]}


def published(inputs: StackInputs, host: int, container: int) -> list[str]:
    """One published port on the factory's address; none when `host` is 0."""
    if not host:
        return []
    bind = inputs.factory.bind
    address = f"[{bind}]:" if ":" in bind else f"{bind}:" if bind else ""
    return [f"{address}{host}:{container}"]


def ports(*groups: list[str]) -> Service:
    """The key `ports`, left out when nothing is published."""
    found = [port for group in groups for port in group]
    return {"ports": found} if found else {}


def _agents_depend(inputs: StackInputs) -> Service:
    if not inputs.bundled:
        return {}
    return {
        "depends_on": {
            "forgejo": {"condition": "service_healthy"},
            "woodpecker": {"condition": "service_started"},
        }
    }


def forgejo(inputs: StackInputs) -> Service:
    """The bundled forge: the only source of truth for code, issues and approvals."""
    return {
        "image": literal(inputs.factory.images.forgejo),
        **lasting(inputs, "forgejo"),
        "stop_grace_period": "30s",
        **ports(published(inputs, inputs.factory.ports.forge, 3000)),
        "environment": {
            "FORGEJO__database__DB_TYPE": "sqlite3",
            "FORGEJO__server__ROOT_URL": "${FORGEJO_ROOT_URL:-http://forgejo:3000/}",
            "FORGEJO__server__HTTP_PORT": "3000",
            "FORGEJO__security__INSTALL_LOCK": "true",
            "FORGEJO__service__DISABLE_REGISTRATION": "true",
            "FORGEJO__webhook__ALLOWED_HOST_LIST": "private",
        },
        "volumes": ["forgejo-data:/data"],
        # 127.0.0.1, not localhost: busybox wget may try ::1 alone.
        "healthcheck": {
            "test": ["CMD", "wget", "-q", "--spider", "http://127.0.0.1:3000/api/v1/version"],
            "interval": "2s",
            "timeout": "3s",
            "retries": 30,
            "start_period": "30s",
        },
        "networks": [NETWORK],
    }


def woodpecker(inputs: StackInputs) -> Service:
    """The bundled CI server."""
    host = inputs.factory.ports
    return {
        "image": literal(inputs.factory.images.woodpecker),
        **lasting(inputs, "woodpecker"),
        "stop_grace_period": "30s",
        "depends_on": {"forgejo": {"condition": "service_healthy"}},
        **ports(published(inputs, host.ci, 8000), published(inputs, host.ci_grpc, 9000)),
        "environment": {
            "WOODPECKER_FORGEJO": "true",
            "WOODPECKER_FORGEJO_URL": FORGE_INSIDE,
            "WOODPECKER_FORGEJO_CLIENT": "${WP_FORGEJO_CLIENT:-}",
            "WOODPECKER_FORGEJO_SECRET": "${WP_FORGEJO_SECRET:-}",
            "WOODPECKER_HOST": "${WOODPECKER_HOST:-http://woodpecker:8000}",
            "WOODPECKER_SERVER": "http://woodpecker:9000",
            "WOODPECKER_OPEN": "true",
            "WOODPECKER_AGENT_SECRET": "${WOODPECKER_AGENT_SECRET:-}",
            "WOODPECKER_DATABASE_DRIVER": "sqlite3",
            "WOODPECKER_DATABASE_DATASOURCE": "/var/lib/woodpecker/woodpecker.sqlite",
            "WOODPECKER_PLUGINS_PRIVILEGED": "${WOODPECKER_PLUGINS_PRIVILEGED:-plugins/docker}",
            "WOODPECKER_ENVIRONMENT": "FORGE_TOKEN:${FORGE_TOKEN:-}",
        },
        "volumes": ["woodpecker-data:/var/lib/woodpecker"],
        "healthcheck": _pace(),
        "networks": [NETWORK],
    }


def woodpecker_agent(inputs: StackInputs) -> Service:
    """Runs the pipelines, on the host's network (gRPC over a bridge failed in LXD)."""
    factory = inputs.factory
    everywhere = factory.bind in ("", "0.0.0.0", "::")  # noqa: S104 - nothing is bound here
    server = "localhost" if everywhere else f"[{factory.bind}]" if ":" in factory.bind else factory.bind
    return {
        "image": literal(factory.images.woodpecker_agent),
        **lasting(inputs, "woodpecker-agent"),
        "network_mode": "host",
        "privileged": True,
        "depends_on": {"woodpecker": {"condition": "service_started"}},
        "environment": {
            "WOODPECKER_SERVER": f"{server}:{factory.ports.ci_grpc}",
            "WOODPECKER_AGENT_SECRET": "${WOODPECKER_AGENT_SECRET:-}",
            "WOODPECKER_GRPC_SECURE": "false",
            "WOODPECKER_GRPC_KEEPALIVE_TIME": "10s",
            "WOODPECKER_GRPC_KEEPALIVE_TIMEOUT": "20s",
            "WOODPECKER_GRPC_KEEPALIVE_PERMIT_WITHOUT_CALLS": "true",
            # The host's port: two factories on one host need two.
            "WOODPECKER_HEALTHCHECK_ADDR": f"127.0.0.1:{factory.ports.ci_health}",
            "WOODPECKER_BACKEND_DOCKER_NETWORK": f"{factory.project}_{NETWORK}",
            "WOODPECKER_MAX_WORKFLOWS": "1",
        },
        "volumes": [bind_mount(literal(inputs.host.docker_socket), "/var/run/docker.sock")],
        "healthcheck": _pace(),
    }


def _factory_repo(inputs: StackInputs) -> dict[str, str]:
    # Set, it makes the agents follow a live checkout of that repository, and the image's version would pin
    # tools instead of behaviour. In build mode the operator may ask for that.
    return {} if inputs.image_mode else {"FACTORY_REPO": "${FACTORY_REPO:-}"}


def _woodpecker_data(inputs: StackInputs) -> dict[str, str]:
    return {"WOODPECKER_DATA_DIR": "/woodpecker-data"} if inputs.bundled else {}


def _woodpecker_mount(inputs: StackInputs) -> list[Any]:
    return ["woodpecker-data:/woodpecker-data:ro"] if inputs.bundled else []


def agents(inputs: StackInputs) -> Service:
    """The polling loop of the factory's own roles."""
    project = inputs.primary
    repo_id = max(p.ci.woodpecker_repo_id for p in inputs.projects)
    tokens = {f"FORGE_{role}_TOKEN": f"${{FORGE_{role}_TOKEN:-}}" for role in ROLE_TOKENS}
    return {
        **_image_or_build(inputs),
        **lasting(inputs, "agents"),
        "init": True,
        "stop_grace_period": "5s",
        **_agents_depend(inputs),
        "environment": {
            "FORGE_URL": literal(inputs.forge_inside),
            "FORGE_REPO": literal(project.repo),
            "FORGE_OPS_REPO": literal(project.ops_repo),
            **_factory_repo(inputs),
            "FORGE_TOKEN": "${FORGE_TOKEN:-}",
            "FORGE_PASS": "${FORGE_PASS:-}",
            **tokens,
            "FORGE_BOT_USERNAMES": "${FORGE_BOT_USERNAMES:-}",
            "WOODPECKER_TOKEN": "${WOODPECKER_TOKEN:-}",
            "WOODPECKER_REPO_ID": str(repo_id) if repo_id else "",
            **_woodpecker_data(inputs),
            "ANTHROPIC_API_KEY": "${ANTHROPIC_API_KEY:-}",
            "CLAUDE_TIMEOUT": "${CLAUDE_TIMEOUT:-7200}",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "${CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC:-1}",
            "CLAUDE_CONFIG_DIR": CLAUDE_CONFIG,
            "DISINTO_CONTAINER": "1",
            "PROJECT_NAME": literal(project.name),
            "PROJECT_REPO_ROOT": literal(f"/home/agent/repos/{project.name}"),
            "POLL_INTERVAL": "${POLL_INTERVAL:-300}",
            "ARCHITECT_INTERVAL": "${ARCHITECT_INTERVAL:-900}",
            "PLANNER_INTERVAL": "${PLANNER_INTERVAL:-43200}",
            "SUPERVISOR_INTERVAL": "${SUPERVISOR_INTERVAL:-1200}",
        },
        "volumes": [
            *agent_mounts(),
            *claude_mounts(inputs),
            *ssh_mounts(inputs),
            *_age(inputs),
            *_woodpecker_mount(inputs),
        ],
        "healthcheck": _agents_check(),
        "networks": [NETWORK],
    }


def runner(inputs: StackInputs) -> Service:
    """The template of one approved action's container: off unless the profile `vault` is asked for."""
    return {
        **_image_or_build(inputs),
        **unconfined(),
        "profiles": ["vault"],
        "init": True,
        "stop_grace_period": "5s",
        "environment": {
            "FORGE_URL": literal(inputs.forge_inside),
            "DISINTO_CONTAINER": "1",
            "PROJECT_REPO_ROOT": literal(f"/home/agent/repos/{inputs.primary.name}"),
            "CLAUDE_CONFIG_DIR": CLAUDE_CONFIG,
        },
        "volumes": [*agent_mounts(), *claude_mounts(inputs)],
        "healthcheck": _agents_check(),
        "networks": [NETWORK],
    }


def local_agent(inputs: StackInputs, project: Project, agent: LocalAgent) -> Service:
    """One more agents service on a model endpoint of the operator's, with an identity and data of its own.

    No profile: a profile made `up` drop the running container as an orphan.
    """
    suffix, repo_id = agent.variable_suffix, project.ci.woodpecker_repo_id
    fallback = NO_API_KEY if agent.api_key == NO_API_KEY else ""
    short = agent.service.removeprefix("agents-")
    return {
        **_image_or_build(inputs),
        **lasting(inputs, agent.service),
        "init": True,
        "stop_grace_period": "5s",
        **_agents_depend(inputs),
        "environment": {
            "FORGE_URL": literal(inputs.forge_inside),
            "FORGE_REPO": literal(project.repo),
            "FORGE_OPS_REPO": literal(project.ops_repo),
            **_factory_repo(inputs),
            "FORGE_TOKEN": f"${{FORGE_TOKEN_{suffix}:-}}",
            "FORGE_PASS": f"${{FORGE_PASS_{suffix}:-}}",
            "FORGE_REVIEW_TOKEN": "${FORGE_REVIEW_TOKEN:-}",
            "FORGE_BOT_USERNAMES": "${FORGE_BOT_USERNAMES:-}",
            f"FORGE_BOT_USER_{suffix}": literal(agent.forge_user),
            # The image splits at commas; upstream's generator joins with blanks, and no role matches.
            "AGENT_ROLES": ",".join(agent.roles),
            "ANTHROPIC_BASE_URL": literal(agent.base_url),
            "ANTHROPIC_API_KEY": f"${{{agent.api_key_variable}:-{fallback}}}",
            "CLAUDE_MODEL": literal(agent.model),
            "CLAUDE_TIMEOUT": "${CLAUDE_TIMEOUT:-7200}",
            "CLAUDE_CONFIG_DIR": CLAUDE_CONFIG,
            "CLAUDE_CREDENTIALS_DIR": f"{CLAUDE_CONFIG}/credentials",
            "CLAUDE_AUTOCOMPACT_PCT_OVERRIDE": str(agent.compact_pct),
            "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
            "CLAUDE_CODE_ENABLE_TELEMETRY": "0",
            "WOODPECKER_REPO_ID": str(repo_id) if repo_id else "",
            **_woodpecker_data(inputs),
            "DISINTO_CONTAINER": "1",
            "PROJECT_NAME": literal(project.name),
            "PROJECT_REPO_ROOT": literal(f"/home/agent/repos/{project.name}"),
            "POLL_INTERVAL": str(agent.poll_interval),
            "ARCHITECT_INTERVAL": "900",
            "PLANNER_INTERVAL": "43200",
            "SUPERVISOR_INTERVAL": "1200",
        },
        "volumes": [
            *agent_mounts(f"agents-{short}-data", f"project-repos-{short}"),
            *claude_mounts(inputs),
            *ssh_mounts(inputs),
            *_woodpecker_mount(inputs),
        ],
        "healthcheck": _agents_check(),
        "networks": [NETWORK],
    }
