"""The variables of one factory's `.env`: the first `.env`, and what a later version of the stack needs in addition.

What each variable is for stands in `env_schema`. Who reads one is not written down but found in the stack itself, so it
cannot go stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .env_schema import AGENTS_IMAGE, MODELS, OTHERS, SECTIONS, Variable, expand
from .envfile import EnvFile, Quoting
from .model import NO_API_KEY
from .project_schema import ROLE_BOTS
from .redact import Secret
from .stack import build_stack, referenced_variables
from .stack_services import FACTORY_REPOSITORY, StackInputs


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


def _known(inputs: StackInputs) -> dict[str, dict[str, Any]]:
    """What this instance says of variables: values that are known already, and whether a line is needed."""
    factory = inputs.factory
    ci = f"http://localhost:{factory.ports.ci}" if inputs.bundled and factory.ports.ci else ""
    return {
        AGENTS_IMAGE: {"needed": inputs.image_mode},
        "DISINTO_VERSION": {"preset": factory.version},
        "FACTORY_REPO": {"default": FACTORY_REPOSITORY if factory.images.edge else ""},
        "FORGE_URL": {"preset": inputs.primary.forge_url, "readers": ("this host's commands",)},
        "FORGE_BOT_USERNAMES": {"preset": ",".join(sorted(ROLE_BOTS))},
        "WOODPECKER_HOST": {"preset": ci},
    }


def _of_agents(inputs: StackInputs, variable: Variable) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The variables of local-model agents that stand behind one with `<USER>` or `<NAME>` in it."""
    for project, agent in inputs.local_agents:
        name = variable.name.replace("<USER>", agent.variable_suffix)
        own = {"<user>": f"{agent.forge_user} of {project.name}", "agents-<name>": agent.service}
        what = variable.what
        for mark, text in own.items():
            what = what.replace(mark, text)
        asks = agent.api_key != NO_API_KEY
        key = {"preset": Secret(agent.api_key) if asks else "", "needed": asks}
        yield (agent.api_key_variable, what, key) if "<NAME>" in name else (name, what, {})


def _catalogue(inputs: StackInputs) -> list[EnvVariable]:
    known, found = _known(inputs), list[EnvVariable]()
    for section in SECTIONS:
        families = [variable for variable in section.variables if variable.only == MODELS]
        if families:  # agent by agent, as somebody fills them in
            rows = [list(_of_agents(inputs, variable)) for variable in families]
            made = [
                (variable, *row)
                for group in zip(*rows, strict=True)
                for variable, row in zip(families, group, strict=True)
            ]
        else:
            made = [
                (variable, name, what, known.get(name, {}))
                for variable in section.variables
                for name, what in expand(variable)
            ]
        for variable, name, what, more in made:
            secret = variable.kind == "secret"
            plain = EnvVariable(name, section.title, what, secret, variable.default, needed=variable.needed)
            found.append(replace(plain, **more))
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
        EnvVariable(name, OTHERS, "Given at init; the stack does not read it.", isinstance(value, Secret))
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
