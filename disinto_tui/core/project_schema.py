"""Every key of a project file, as data: what the reader accepts, and what the reference page is made from.

A path is the key's names from the outside in; `*` stands for a name the operator chooses. The rules come
from upstream's loaders; the `[factory]` table is ours alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .model import DEFAULT_REPOSITORY, NO_API_KEY, Images, Ports

Kind = Literal["string", "integer", "boolean", "strings", "string or strings"]
Path = tuple[str, ...]

ROLES = ("dev", "review", "gardener", "architect", "planner", "predictor", "supervisor")
"""What an agent can be told to do."""

ROLE_BOTS = frozenset({f"{role}-bot" for role in ROLES} | {"vault-bot", "filer-bot"})
"""The forge users of the factory's own roles; a local-model agent needs another one."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `default` and `example` are TOML text ("" is none); `allowed` says what is accepted."""

    path: Path
    kind: Kind
    description: str
    default: str = ""
    allowed: str = ""
    required: bool = False
    example: str = ""

    @property
    def name(self) -> str:
        """The key as written with dots: `factory.ports.http`."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Table:
    """One table (or family of tables, with `*` in its path) and what it is for."""

    path: Path
    description: str


TABLES: tuple[Table, ...] = (
    Table(("ci",), "The Woodpecker side of the project."),
    Table(("services",), "Containers the project itself runs."),
    Table(("monitoring",), "What the supervisor looks at."),
    Table(
        ("mirrors",), "Other places the primary branch and the tags are pushed to: one name = git URL a line."
    ),
    Table(("agents",), "Agents with a model of your own."),
    Table(
        ("agents", "*"),
        "One more agents service, agents-<name>, on another model endpoint and with a forge user of its own.",
    ),
    Table(
        ("factory",),
        "The instance that runs the project: where its image comes from, which parts it has. Optional, "
        "and in one project file only.",
    ),
    Table(("factory", "ports"), "Ports published on the host; 0 publishes nothing for that part."),
    Table(("factory", "images"), "Images of the parts that are not agents."),
)

_PORT = "0 to 65535"
_FIXED_PORT = "1 to 65535"
_URL = "http:// or https://, without user name and password"
_SLUG = "owner/name: letters, digits, dots, dashes and underscores"


def _port(name: str, description: str, allowed: str = _PORT) -> Key:
    return Key(("factory", "ports", name), "integer", description, str(getattr(Ports(), name)), allowed)


def _image(name: str, description: str, example: str = "") -> Key:
    path, default = ("factory", "images", name), getattr(Images(), name)
    return Key(path, "string", description, f'"{default}"', "an image reference", example=example)


KEYS: tuple[Key, ...] = (
    Key(
        ("name",),
        "string",
        "The project's name: its clone directory and the name of this file.",
        allowed="letters, digits, dots, dashes and underscores",
        required=True,
        example='"app"',
    ),
    Key(
        ("repo",),
        "string",
        "The repository on the forge that the agents work on.",
        allowed=_SLUG,
        required=True,
        example='"acme/app"',
    ),
    Key(
        ("ops_repo",),
        "string",
        "The companion repository for approvals, sprints and knowledge. Without it: the repository's name "
        "with -ops.",
        allowed=_SLUG,
        example='"acme/app-ops"',
    ),
    Key(
        ("forge_url",),
        "string",
        "The forge as seen from this host. Inside the stack the bundled forge is http://forgejo:3000.",
        default='"http://localhost:3000"',
        allowed=_URL,
    ),
    Key(
        ("repo_root",),
        "string",
        "Where the host keeps its own clone, for upstream's host commands. Containers keep theirs.",
        allowed="an absolute path",
        example='"/srv/app"',
    ),
    Key(
        ("ops_repo_root",),
        "string",
        "Where the host keeps its clone of the ops repository.",
        allowed="an absolute path",
        example='"/srv/app-ops"',
    ),
    Key(
        ("primary_branch",),
        "string",
        "The branch that agents start from and merge to.",
        default='"main"',
        allowed="a branch name",
    ),
    Key(
        ("ci", "woodpecker_repo_id"),
        "integer",
        "The repository's number in Woodpecker; 0 is no CI. Without it agents see no CI logs.",
        default="0",
        allowed="0 or more",
    ),
    Key(
        ("ci", "stale_minutes"),
        "integer",
        "When a pipeline counts as stuck.",
        default="60",
        allowed="1 or more",
    ),
    Key(
        ("services", "containers"),
        "strings",
        "Names of the project's own containers.",
        default="[]",
        allowed="names of containers",
        example='["web", "db"]',
    ),
    Key(("monitoring", "check_prs"), "boolean", "Look at open pull requests.", default="true"),
    Key(("monitoring", "check_dev_agent"), "boolean", "Look at the dev agent.", default="true"),
    Key(("monitoring", "check_pipeline_stall"), "boolean", "Look for stuck pipelines.", default="false"),
    Key(
        ("mirrors", "*"),
        "string",
        "A git URL without password or token. The name becomes a git remote.",
        allowed="names: letters, digits and underscores",
        example='"git@git.example.org:acme/app.git"',
    ),
    Key(
        ("agents", "*", "base_url"),
        "string",
        "The model endpoint as seen from a container: localhost would be the container itself.",
        allowed=_URL,
        required=True,
        example='"http://10.0.0.5:8081"',
    ),
    Key(
        ("agents", "*", "model"),
        "string",
        "The model's name at that endpoint.",
        allowed="text on one line",
        required=True,
        example='"qwen3-coder"',
    ),
    Key(
        ("agents", "*", "api_key"),
        "string",
        "The endpoint's key. A real one belongs in .env (ANTHROPIC_API_KEY_<NAME>): every agent can read "
        "this file.",
        default=f'"{NO_API_KEY}"',
        allowed="text on one line",
    ),
    Key(
        ("agents", "*", "roles"),
        "string or strings",
        "What this agent does.",
        default='["dev"]',
        allowed=", ".join(ROLES),
    ),
    Key(
        ("agents", "*", "forge_user"),
        "string",
        "Its user on the forge: one of its own, never one of the factory's bots. Without it: <name>-bot.",
        allowed="letters, digits, dashes and underscores",
        example='"qwen-bot"',
    ),
    Key(
        ("agents", "*", "compact_pct"),
        "integer",
        "How full the context gets, in percent, before it is compacted.",
        default="60",
        allowed="1 to 100",
    ),
    Key(
        ("agents", "*", "poll_interval"),
        "integer",
        "Seconds between two looks at the forge.",
        default="60",
        allowed="1 or more",
    ),
    Key(
        ("factory", "agents_image"),
        "string",
        "The repository the agents image is pulled from, without tag or digest.",
        default=f'"{DEFAULT_REPOSITORY}"',
        allowed="an image repository",
    ),
    Key(
        ("factory", "version"),
        "string",
        "The version to start with; empty is the newest release in the registry.",
        default='""',
        allowed="a version such as v0.3.0",
        example='"v0.3.0"',
    ),
    Key(
        ("factory", "pin_digest"),
        "boolean",
        "Pin versions with their digest (name:tag@sha256:…), so that no tag can move under you.",
        default="false",
    ),
    Key(
        ("factory", "forge"),
        "string",
        "bundled runs Forgejo and Woodpecker in the stack; external uses the forge at forge_url.",
        default='"bundled"',
        allowed="bundled, external",
    ),
    Key(
        ("factory", "project"),
        "string",
        "The compose project: prefix of all volumes and networks. Never change it on a live instance.",
        default='"disinto"',
        allowed="small letters, digits, dashes and underscores; begins with a letter or digit",
    ),
    Key(
        ("factory", "bind"),
        "string",
        "The host address that ports are published on; empty is every address.",
        default='""',
        allowed="an IP address",
        example='"127.0.0.1"',
    ),
    _port("forge", "Forgejo's web page and API."),
    _port("ci", "Woodpecker's web page and API."),
    _port("ci_grpc", "Woodpecker's port for its agent, which runs on the host's network.", _FIXED_PORT),
    _port("ci_health", "Where Woodpecker's agent answers its health check, on this host alone.", _FIXED_PORT),
    _port("http", "The edge: one door to forge, CI and staging."),
    _port("https", "The edge, encrypted."),
    _image("forgejo", "The bundled forge."),
    _image("woodpecker", "The bundled CI server."),
    _image("woodpecker_agent", "The bundled CI agent."),
    _image(
        "edge",
        "Upstream's full edge, which runs the vault dispatcher and gets the Docker socket. Empty is a plain "
        "web proxy.",
        '"ghcr.io/disinto/edge:v0.3.0"',
    ),
    _image("caddy", "The plain web proxy."),
    _image("staging", "Serves the staging site."),
    _image("staging_deploy", "The placeholder for deployments to staging."),
    _image(
        "reproduce",
        "Reproduces bugs in a sidecar; empty leaves it out.",
        '"ghcr.io/disinto/reproduce:v0.3.0"',
    ),
)

IGNORED: frozenset[Path] = frozenset({("agents", "schedule")})
"""Tables upstream's examples carry and no reader uses."""


def _matches(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(p in ("*", part) for p, part in zip(pattern, path, strict=True))


def key_at(path: Path) -> Key | None:
    """The key that `path` names, or None."""
    return next((key for key in KEYS if _matches(key.path, path)), None)


def table_at(path: Path) -> Table | None:
    """The table that `path` names, or None."""
    return next((table for table in TABLES if _matches(table.path, path)), None)


def names_in(path: Path) -> Iterator[str]:
    """The fixed names (keys and tables) that may stand directly in the table at `path`."""
    for entry in (*(key.path for key in KEYS), *(table.path for table in TABLES)):
        if len(entry) == len(path) + 1 and entry[-1] != "*" and _matches(entry[:-1], path):
            yield entry[-1]


def homes_of(name: str) -> tuple[str, ...]:
    """The tables in which a key called `name` is known, as written (`[ci]`), "" for the top of the file."""
    homes = (key.path[:-1] for key in KEYS if key.path[-1] == name)
    return tuple(dict.fromkeys(f"[{'.'.join(home)}]" if home else "" for home in homes))
