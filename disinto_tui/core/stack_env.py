"""The variables of a factory's `.env`: what each is for and who reads it, the first `.env`, and what a later
version of the stack needs in addition.

Who reads a variable is not written down here but found in the stack itself, so it cannot go stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .envfile import EnvFile, Quoting
from .model import NO_API_KEY
from .project_schema import ROLE_BOTS
from .redact import Secret
from .stack import build_stack, referenced_variables
from .stack_services import FACTORY_REPOSITORY, ROLE_TOKENS, StackInputs

AGENTS_IMAGE = "AGENTS_IMAGE"


@dataclass(frozen=True, slots=True)
class EnvVariable:
    """One variable. `default` is what the stack takes when it is unset; `preset` a value already known.

    `needed` variables get a line of their own, the others stand as comments with their default. A secret's
    value is never a default.
    """

    name: str
    section: str
    what: str
    secret: bool = False
    default: str = ""
    preset: str | Secret = ""
    needed: bool = True
    readers: tuple[str, ...] = ()


_VERSION = "Version: the one line a switch changes"
_FORGE = "Forge"
_CI = "CI"
_MODELS = "Models"
_LOCAL = "Agents with models of their own"
_EDGE = "Edge"
_HOST = "Paths on this host"
_PACE = "Pace, in seconds"
_OTHER = "Others"


def _catalogue(inputs: StackInputs) -> list[EnvVariable]:
    v, factory, primary = EnvVariable, inputs.factory, inputs.primary
    found = [
        v(
            AGENTS_IMAGE,
            _VERSION,
            "The agents image in full: registry/repository:tag, with or without @sha256:digest.",
            needed=inputs.image_mode,
        ),
        v(
            "DISINTO_VERSION",
            _VERSION,
            "The version of the factory's code that the full edge clones: keep it the same as the image's.",
            default="main",
            preset=factory.version,
        ),
        v(
            "FACTORY_REPO",
            _VERSION,
            "The repository of the factory's own code. In build mode, agents follow a live checkout of it.",
            default=FACTORY_REPOSITORY if factory.images.edge else "",
            needed=False,
        ),
        v(
            "FORGE_URL",
            _FORGE,
            "The forge as seen from this host. Containers are told their own address.",
            preset=primary.forge_url,
            readers=("this host's commands",),
        ),
        v("FORGE_TOKEN", _FORGE, "Token of the dev bot, which most agents act as.", secret=True),
        v("FORGE_PASS", _FORGE, "Its password: the forge takes no token for git push.", secret=True),
        *(
            v(
                f"FORGE_{role}_TOKEN",
                _FORGE,
                f"Token of {role.lower()}-bot; without it FORGE_TOKEN serves.",
                True,
            )
            for role in ROLE_TOKENS
        ),
        v(
            "FORGE_BOT_USERNAMES",
            _FORGE,
            "Forge users that are bots, so that agents tell people from bots.",
            preset=",".join(sorted(ROLE_BOTS)),
        ),
        v("FORGE_ADMIN_TOKEN", _FORGE, "An administrator's token, with which merges are verified.", True),
        v(
            "FORGE_ADMIN_USERS",
            _FORGE,
            "Forge users whose approval counts.",
            default="disinto-admin",
            needed=False,
        ),
        v(
            "FORGEJO_ROOT_URL",
            _FORGE,
            "The address the forge writes into links; browsers should reach it.",
            default="http://forgejo:3000/",
            needed=False,
        ),
        v(
            "WOODPECKER_HOST",
            _CI,
            "The CI's address in a browser; must match the forge's OAuth redirect.",
            default="http://woodpecker:8000",
            preset=f"http://localhost:{factory.ports.ci}" if inputs.bundled and factory.ports.ci else "",
        ),
        v("WOODPECKER_TOKEN", _CI, "A token for the CI's API: agents read pipelines with it.", True),
        v(
            "WOODPECKER_AGENT_SECRET",
            _CI,
            "What the CI server and its agent share. It cannot be read back.",
            True,
        ),
        v("WP_FORGEJO_CLIENT", _CI, "OAuth application of the CI on the forge."),
        v("WP_FORGEJO_SECRET", _CI, "Its secret. It cannot be read back.", True),
        v(
            "WOODPECKER_PLUGINS_PRIVILEGED",
            _CI,
            "CI plugins that may run privileged.",
            default="plugins/docker",
            needed=False,
        ),
        v("ANTHROPIC_API_KEY", _MODELS, "API key; empty when Claude is signed in with an account.", True),
        v(
            "CLAUDE_TIMEOUT",
            _MODELS,
            "Seconds one session may take.",
            default="7200",
            needed=False,
        ),
        v(
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            _MODELS,
            "1: no update checks and no telemetry from the agents.",
            default="1",
            needed=False,
        ),
    ]
    for project, agent in inputs.local_agents:
        suffix = agent.variable_suffix
        own = f"{agent.forge_user} of {project.name}"
        found += [
            v(f"FORGE_TOKEN_{suffix}", _LOCAL, f"Token of {own}.", True),
            v(f"FORGE_PASS_{suffix}", _LOCAL, f"Password of {own}.", True),
            v(
                agent.api_key_variable,
                _LOCAL,
                f"API key of {agent.service}'s model endpoint; empty when it asks for none.",
                True,
                preset="" if agent.api_key == NO_API_KEY else Secret(agent.api_key),
                needed=agent.api_key != NO_API_KEY,
            ),
        ]
    found += [
        v("EDGE_TUNNEL_HOST", _EDGE, "Host to which the edge opens a tunnel.", needed=False),
        v("EDGE_TUNNEL_USER", _EDGE, "User on that host.", default="tunnel", needed=False),
        v("EDGE_TUNNEL_PORT", _EDGE, "Port on that host.", needed=False),
        v("EDGE_TUNNEL_FQDN", _EDGE, "Name under which the edge is reached.", needed=False),
        v("EDGE_TUNNEL_FQDN_FORGE", _EDGE, "The same for the forge alone.", needed=False),
        v("EDGE_TUNNEL_FQDN_CI", _EDGE, "The same for the CI alone.", needed=False),
        v("EDGE_TUNNEL_FQDN_CHAT", _EDGE, "The same for the chat alone.", needed=False),
        v("EDGE_ROUTING_MODE", _EDGE, "subpath or subdomain.", default="subpath", needed=False),
        v("FORWARD_AUTH_SECRET", _EDGE, "What edge and chat share.", True, needed=False),
        v("CHAT_OAUTH_CLIENT_ID", _EDGE, "OAuth application of the chat on the forge.", needed=False),
        v("CHAT_OAUTH_CLIENT_SECRET", _EDGE, "Its secret.", True, needed=False),
        v("DISINTO_CHAT_ALLOWED_USERS", _EDGE, "Forge users who may chat.", needed=False),
        v(
            "GEMINI_API_KEY_FILE",
            _EDGE,
            "Where the edge finds the key for voice.",
            default="/secrets/gemini-api-key",
            needed=False,
        ),
        v("CHAT_HISTORY_DIR", _EDGE, "Where chats are kept.", default="./state/chat-history", needed=False),
        v(
            "CLAUDE_SHARED_DIR",
            _HOST,
            "Claude's directory, at the same path here and in the containers.",
            default="/var/lib/disinto/claude-shared",
            needed=False,
        ),
        v(
            "CLAUDE_CONFIG_DIR",
            _HOST,
            "Claude's configuration in it.",
            default="/var/lib/disinto/claude-shared/config",
            needed=False,
        ),
        v("CLAUDE_CONFIG_FILE", _HOST, "Claude's settings file.", needed=False),
        v("AGENT_SSH_DIR", _HOST, "SSH keys for the agents.", needed=False),
        v("SOPS_AGE_DIR", _HOST, "The age key for encrypted files.", needed=False),
        v("POLL_INTERVAL", _PACE, "Between two looks at the forge.", default="300", needed=False),
        v("ARCHITECT_INTERVAL", _PACE, "Between two runs of the architect.", default="900", needed=False),
        v("PLANNER_INTERVAL", _PACE, "Between two runs of the planner.", default="43200", needed=False),
        v("SUPERVISOR_INTERVAL", _PACE, "Between two runs of the supervisor.", default="1200", needed=False),
    ]
    return found


def variables(inputs: StackInputs) -> tuple[EnvVariable, ...]:
    """The variables this stack reads, in the order of the `.env`, each with the services that read it.

    Raises BadInput like `build_stack`.
    """
    readers: dict[str, list[str]] = {}
    services: Mapping[str, Any] = build_stack(inputs)["services"]
    for service, data in services.items():
        for name in referenced_variables(data):
            readers.setdefault(name, []).append(service)
    seen: dict[str, EnvVariable] = {}
    for variable in _catalogue(inputs):
        who = (*variable.readers, *readers.get(variable.name, ()))
        # AGENTS_IMAGE stands there in build mode too, as the way to leave it.
        if who or variable.name == AGENTS_IMAGE:
            seen.setdefault(variable.name, replace(variable, readers=who))
    return tuple(seen.values())


def env_skeleton(inputs: StackInputs, values: Mapping[str, Secret | str]) -> str:
    """A new `.env`: AGENTS_IMAGE first, sections with what each variable is and who reads it.

    `values` fills in what is known; a variable with neither value nor preset stays empty, or a comment when
    it has a default. Secrets stand in single quotes, and nothing follows a value on its line (readers differ
    on comments there). Names the stack does not know come last. Nothing is made up here: a generated secret
    is the caller's to pass in. Raises BadInput (`env.value`) for a value that no quoting makes safe.
    """
    known = variables(inputs)
    names = {variable.name for variable in known}
    others = tuple(
        EnvVariable(name, _OTHER, "Given at init; the stack does not read it.", isinstance(value, Secret))
        for name, value in values.items()
        if name not in names
    )
    head = (
        "# Settings and secrets of this factory. Keep it private: mode 0600, never in git.\n"
        "# Compose reads it for every command; the shell's variables of the same name win over it.\n"
    )
    return head + render_variables((*known, *others), values)


def render_variables(wanted: Sequence[EnvVariable], values: Mapping[str, Secret | str]) -> str:
    """Lines for `.env`, with a comment above each and a title above each section.

    Raises BadInput (`env.value`) for a value that no quoting makes safe.
    """
    text, section = "", ""
    for variable in wanted:
        if variable.section != section:
            section = variable.section
            text += f"\n# --- {section} ---\n"
        text += _entry(variable, values.get(variable.name, variable.preset))
    return text


def _entry(variable: EnvVariable, value: Secret | str) -> str:
    secret = " Secret." if variable.secret else ""
    who = f" Read by: {', '.join(variable.readers)}." if variable.readers else ""
    comment = f"# {variable.what}{secret}{who}\n"
    if not value and not variable.needed:
        return f"{comment}# {variable.name}={variable.default}\n"
    if not value and variable.default:
        return f"{comment}# {variable.name}={variable.default}\n"
    if not value:
        return f"{comment}{variable.name}=\n"
    plain = value.reveal() if isinstance(value, Secret) else value
    quoting = Quoting.SINGLE if variable.secret or isinstance(value, Secret) else Quoting.AUTO
    return comment + EnvFile.parse(b"").set(variable.name, plain, quoting).data.decode()


def missing_variables(inputs: StackInputs, existing: Mapping[str, object]) -> tuple[EnvVariable, ...]:
    """What an existing `.env` lacks for this stack: variables that need a line and have none.

    `existing` is what the file defines (values do not matter: an empty one is the operator's choice). Such a
    file is never rewritten; `render_variables` gives the lines to append. Raises BadInput like `build_stack`.
    """
    return tuple(
        variable
        for variable in variables(inputs)
        if variable.needed and variable.name not in existing and (variable.preset or not variable.default)
    )
