"""Every variable of a factory's `.env`, as data: what the first `.env` and the reference page are made from.

A name in angle brackets stands for several: `FORGE_<ROLE>_TOKEN` is one for each role, `FORGE_TOKEN_<USER>` one
for each local-model agent. What depends on the instance (a value known already, whether a line is needed) is put in
by `stack_env`, and which services read a variable is found in the stack itself. The meanings are upstream's
(facts: 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .stack_services import FACTORY_REPOSITORY, ROLE_TOKENS

AGENTS_IMAGE = "AGENTS_IMAGE"

Kind = Literal["text", "whole number", "secret"]


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable. `default` is what the stack takes when it is unset; `allowed` what may stand there.

    `needed` variables get a line of their own in a new `.env`, the others stand as comments with their default.
    `only` says when the stack has it at all. A secret's value is never a default, and never an example.
    """

    name: str
    what: str
    kind: Kind = "text"
    default: str = ""
    allowed: str = ""
    example: str = ""
    needed: bool = True
    only: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Variables that stand together in `.env`, under one title."""

    title: str
    variables: tuple[Variable, ...]


_URL = "an http:// or https:// address"
_USERS = "names with commas between"
_TOKEN = "a token of that user"  # noqa: S105
_PATH = "an absolute path"
_SECONDS = "seconds, 1 or more"
_TUNNEL = "with the full edge"
_BUNDLED = "with the bundled forge"
MODELS = "one for each `[agents.<name>]`"
"""When there are the variables of local-model agents."""


def _v(name: str, what: str, allowed: str, example: str = "", **more: object) -> Variable:
    return Variable(name, what, allowed=allowed, example=example, **more)  # type: ignore[arg-type]


def _secret(name: str, what: str, allowed: str, *, needed: bool = True, only: str = "") -> Variable:
    return Variable(name, what, "secret", allowed=allowed, needed=needed, only=only)


def _seconds(name: str, what: str, default: str) -> Variable:
    return Variable(name, what, "whole number", default, _SECONDS, str(int(default) // 2), needed=False)


SECTIONS: tuple[Section, ...] = (
    Section(
        "Version: the one line a switch changes",
        (
            _v(
                AGENTS_IMAGE,
                "The agents image in full: registry/repository:tag, with or without @sha256:digest.",
                "see the top of docs/configuration.md",
                "ghcr.io/disinto/agents:v0.3.0",
            ),
            _v(
                "DISINTO_VERSION",
                "The version of the factory's code that the full edge clones: keep it the same as the image's.",
                "a tag or a branch of that code",
                "v0.3.0",
                default="main",
                only=_TUNNEL,
            ),
            _v(
                "FACTORY_REPO",
                "The repository of the factory's own code. In build mode, agents follow a live checkout of it.",
                "owner/name on the forge",
                "acme/disinto",
                default=FACTORY_REPOSITORY,
                needed=False,
                only=f"{_TUNNEL}, or in build mode",
            ),
        ),
    ),
    Section(
        "Forge",
        (
            _v(
                "FORGE_URL",
                "The forge as seen from this host. Containers are told their own address.",
                _URL,
                "http://localhost:3000",
            ),
            _secret("FORGE_TOKEN", "Token of the dev bot, which most agents act as.", _TOKEN),
            _secret("FORGE_PASS", "Its password: the forge takes no token for git push.", "a password"),
            _secret("FORGE_<ROLE>_TOKEN", "Token of <role>-bot; without it FORGE_TOKEN serves.", _TOKEN),
            _v(
                "FORGE_BOT_USERNAMES",
                "Forge users that are bots, so that agents tell people from bots.",
                _USERS,
                "dev-bot,review-bot",
            ),
            _secret(
                "FORGE_ADMIN_TOKEN",
                "An administrator's token, with which merges are verified.",
                _TOKEN,
                only=_TUNNEL,
            ),
            _v(
                "FORGE_ADMIN_USERS",
                "Forge users whose approval counts.",
                _USERS,
                "disinto-admin,ann",
                default="disinto-admin",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "FORGEJO_ROOT_URL",
                "The address the forge writes into links; browsers should reach it.",
                _URL,
                "https://forge.example.org/",
                default="http://forgejo:3000/",
                needed=False,
                only=_BUNDLED,
            ),
        ),
    ),
    Section(
        "CI",
        (
            _v(
                "WOODPECKER_HOST",
                "The CI's address in a browser; must match the forge's OAuth redirect.",
                _URL,
                "http://localhost:8000",
                default="http://woodpecker:8000",
                only=_BUNDLED,
            ),
            _secret(
                "WOODPECKER_TOKEN",
                "A token for the CI's API: agents read pipelines with it.",
                "a token of the CI",
            ),
            _secret(
                "WOODPECKER_AGENT_SECRET",
                "What the CI server and its agent share. It cannot be read back.",
                "any text; `init` makes one up",
                only=_BUNDLED,
            ),
            _v(
                "WP_FORGEJO_CLIENT",
                "OAuth application of the CI on the forge.",
                "the id the forge gave it",
                "5bd5c2ab-13f8-4f6d-9a06-0d2a6e6f7f10",
                only=_BUNDLED,
            ),
            _secret(
                "WP_FORGEJO_SECRET",
                "Its secret. It cannot be read back.",
                "what the forge showed once",
                only=_BUNDLED,
            ),
            _v(
                "WOODPECKER_PLUGINS_PRIVILEGED",
                "CI plugins that may run privileged.",
                "image names with commas between",
                "plugins/docker,plugins/kaniko",
                default="plugins/docker",
                needed=False,
                only=_BUNDLED,
            ),
        ),
    ),
    Section(
        "Models",
        (
            _secret(
                "ANTHROPIC_API_KEY",
                "API key; empty when Claude is signed in with an account.",
                "a key of Anthropic's",
            ),
            _seconds("CLAUDE_TIMEOUT", "Seconds one session may take.", "7200"),
            _v(
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
                "1: no update checks and no telemetry from the agents.",
                "1, or 0",
                "0",
                default="1",
                needed=False,
            ),
        ),
    ),
    Section(
        "Agents with models of their own",
        (
            _secret("FORGE_TOKEN_<USER>", "Token of <user>.", _TOKEN, only=MODELS),
            _secret("FORGE_PASS_<USER>", "Password of <user>.", "a password", only=MODELS),
            _secret(
                "ANTHROPIC_API_KEY_<NAME>",
                "API key of agents-<name>'s model endpoint; empty when it asks for none.",
                "a key of that endpoint",
                needed=False,
                only=MODELS,
            ),
        ),
    ),
    Section(
        "Edge",
        (
            _v(
                "EDGE_TUNNEL_HOST",
                "Host to which the edge opens a tunnel.",
                "a host name; empty is no tunnel",
                "edge.example.org",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "EDGE_TUNNEL_USER",
                "User on that host.",
                "a user name",
                "acme",
                default="tunnel",
                needed=False,
                only=_TUNNEL,
            ),
            Variable(
                "EDGE_TUNNEL_PORT",
                "Port on that host.",
                "whole number",
                "",
                "1 to 65535",
                "10080",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "EDGE_TUNNEL_FQDN",
                "Name under which the edge is reached.",
                "a host name",
                "acme.example.org",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "EDGE_TUNNEL_FQDN_FORGE",
                "The same for the forge alone.",
                "a host name",
                "forge.acme.example.org",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "EDGE_TUNNEL_FQDN_CI",
                "The same for the CI alone.",
                "a host name",
                "ci.acme.example.org",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "EDGE_TUNNEL_FQDN_CHAT",
                "The same for the chat alone.",
                "a host name",
                "chat.acme.example.org",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "EDGE_ROUTING_MODE",
                "subpath or subdomain.",
                "subpath, subdomain",
                "subdomain",
                default="subpath",
                needed=False,
                only=_TUNNEL,
            ),
            _secret(
                "FORWARD_AUTH_SECRET", "What edge and chat share.", "any text", needed=False, only=_TUNNEL
            ),
            _v(
                "CHAT_OAUTH_CLIENT_ID",
                "OAuth application of the chat on the forge.",
                "the id the forge gave it",
                "0c1f8d9e-2f0b-4b57-8f3f-6f7d6d2f9f11",
                needed=False,
                only=_TUNNEL,
            ),
            _secret(
                "CHAT_OAUTH_CLIENT_SECRET",
                "Its secret.",
                "what the forge showed once",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "DISINTO_CHAT_ALLOWED_USERS",
                "Forge users who may chat.",
                _USERS,
                "ann,bob",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "GEMINI_API_KEY_FILE",
                "Where the edge finds the key for voice.",
                "a path in the edge's container",
                "/secrets/gemini-api-key",
                default="/secrets/gemini-api-key",
                needed=False,
                only=_TUNNEL,
            ),
            _v(
                "CHAT_HISTORY_DIR",
                "Where chats are kept.",
                "a path on this host",
                "/srv/acme/chat",
                default="./state/chat-history",
                needed=False,
                only=_TUNNEL,
            ),
        ),
    ),
    Section(
        "Paths on this host",
        (
            _v(
                "CLAUDE_SHARED_DIR",
                "Claude's directory, at the same path here and in the containers.",
                _PATH,
                "/srv/claude",
                default="/var/lib/disinto/claude-shared",
                needed=False,
            ),
            _v(
                "CLAUDE_CONFIG_DIR",
                "Claude's configuration in it.",
                f"{_PATH} in CLAUDE_SHARED_DIR",
                "/srv/claude/config",
                default="/var/lib/disinto/claude-shared/config",
                needed=False,
            ),
            _v(
                "CLAUDE_CONFIG_FILE",
                "Claude's settings file.",
                _PATH,
                "/home/ops/.claude.json",
                needed=False,
                only="when this user has a ~/.claude.json, which it replaces",
            ),
            _v(
                "AGENT_SSH_DIR",
                "SSH keys for the agents.",
                _PATH,
                "/srv/acme/ssh",
                needed=False,
                only="when this user has a ~/.ssh, which it replaces",
            ),
            _v(
                "SOPS_AGE_DIR",
                "The age key for encrypted files.",
                _PATH,
                "/srv/acme/age",
                needed=False,
                only="when this user has a ~/.config/sops/age, which it replaces",
            ),
        ),
    ),
    Section(
        "Pace, in seconds",
        (
            _seconds("POLL_INTERVAL", "Between two looks at the forge.", "300"),
            _seconds("ARCHITECT_INTERVAL", "Between two runs of the architect.", "900"),
            _seconds("PLANNER_INTERVAL", "Between two runs of the planner.", "43200"),
            _seconds("SUPERVISOR_INTERVAL", "Between two runs of the supervisor.", "1200"),
        ),
    ),
)
"""The variables the stack reads, in the order of a new `.env`."""

OTHERS = "Others"
"""The title above what is written and no service reads."""

NEVER_WRITTEN: tuple[Variable, ...] = (
    Variable(
        "COMPOSE_PROJECT_NAME",
        "The compose project, in the place of `project` in `[factory]`, while nothing of the factory runs.",
        allowed="as `project` in `[factory]`",
        example="acme",
    ),
    Variable(
        "COMPOSE_FILE",
        "The compose files, in the place of docker-compose.yml and docker-compose.override.yml, while nothing runs.",
        allowed="paths with `:` (or COMPOSE_PATH_SEPARATOR) between",
        example="docker-compose.yml:gpu.yml",
    ),
    Variable(
        "COMPOSE_PATH_SEPARATOR",
        "What stands between the paths in COMPOSE_FILE.",
        default=":",
        allowed="one character",
        example=",",
    ),
    Variable(
        "COMPOSE_PROFILES",
        "Profiles whose services `disinto up` starts, too.",
        allowed="names with commas between; `*` is all",
        example="gpu",
    ),
    Variable(
        "WOODPECKER_SERVER",
        "The CI as seen from this host, in the place of WOODPECKER_HOST: `disinto doctor tokens` asks there.",
        default="WOODPECKER_HOST",
        allowed=_URL,
        example="http://localhost:8000",
    ),
)
"""What this tool reads and never writes. Compose's own mean what they mean to a hand-typed `docker compose`."""


def expand(variable: Variable) -> tuple[tuple[str, str], ...]:
    """Name and description of each variable a roles' family stands for; of any other, its own."""
    if variable.name != "FORGE_<ROLE>_TOKEN":
        return ((variable.name, variable.what),)
    return tuple(
        (f"FORGE_{role}_TOKEN", variable.what.replace("<role>", role.lower())) for role in ROLE_TOKENS
    )
