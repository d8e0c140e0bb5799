"""The files `init` writes: built, compared with what is there, checked by Compose, not yet written."""

from __future__ import annotations

import difflib
import secrets as random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from disinto_tui import __version__
from disinto_tui.adapters import compose as compose_adapter
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.adapters.process import run
from disinto_tui.adapters.resources import template
from disinto_tui.adapters.scratch import scratch
from disinto_tui.core.companions import TEMPLATES, companions
from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.errors import Refused
from disinto_tui.core.model import Project
from disinto_tui.core.plan import FileChange
from disinto_tui.core.redact import Secret
from disinto_tui.core.stack import (
    Foreign,
    GeneratedBy,
    StackInputs,
    Upstream,
    dump_compose,
    inspect_header,
)
from disinto_tui.core.stack_diff import semantic_diff
from disinto_tui.core.stack_env import env_skeleton, missing_variables, render_variables
from disinto_tui.runs.init_model import InitRequest, NewFile, World


def new_files(
    request: InitRequest,
    new: Project,
    inputs: StackInputs,
    stack: Mapping[str, Any],
    env: EnvFile | None,
    world: World,
) -> list[NewFile]:
    """The files to be, in the order in which they are put in place: the compose file last."""
    env_file = _env(request, inputs, stack, env, world)
    files = [
        NewFile(f"projects/{new.name}.toml", request.config, note="the config file"),
        NewFile(".env", env_file.data, 0o600, secret=True, note="the pin, addresses and tokens"),
    ]
    texts = {name: template(name) for name in TEMPLATES}
    for companion in companions(inputs, texts):
        old = read_bytes(request.instance.path / companion.path)
        kept = old is not None and companion.existing == "keep"
        files.append(NewFile(companion.path, old if kept and old is not None else companion.text.encode()))
    text = dump_compose(stack, tool_version=__version__)
    files.append(NewFile("docker-compose.yml", text.encode()))
    return files


def _env(
    request: InitRequest,
    inputs: StackInputs,
    stack: Mapping[str, Any],
    old: EnvFile | None,
    world: World,
) -> EnvFile:
    """`.env` as it will be: from the skeleton once, afterwards only added to and set value by value."""
    token = request.token
    values: dict[str, str | Secret] = {"FORGE_URL": inputs.primary.forge_url}
    if world.resolved is not None:
        values["AGENTS_IMAGE"] = world.resolved.pin
    if token is not None:
        values["FORGE_TOKEN"] = token
    if inputs.bundled and (old is None or not old.get("WOODPECKER_AGENT_SECRET")):
        values["WOODPECKER_AGENT_SECRET"] = Secret(random.token_hex(20))
    if old is None:
        return EnvFile.parse(env_skeleton(inputs, values).encode())
    for name, value in values.items():
        plain = value.reveal() if isinstance(value, Secret) else value
        if old.get(name) != plain:
            old = old.set(name, value)
    if world.resolved is None and old.get("AGENTS_IMAGE"):
        old = old.unset("AGENTS_IMAGE")
    missing = missing_variables(inputs, {statement.key: None for statement in old.statements})
    if not missing:
        return old
    end = b"" if not old.data or old.data.endswith(b"\n") else b"\n"
    return EnvFile.parse(old.data + end + render_variables(missing, values).encode())


def compose_changes(
    request: InitRequest, stack: Mapping[str, Any], new: NewFile
) -> tuple[list[str], list[str]]:
    """Dangers and notes of replacing the compose file. Raises Refused for one not ours as we left it."""
    old = read_bytes(request.instance.compose_file)
    if old is None or old == new.data:
        return [], []
    text = old.decode(errors="replace")
    import yaml

    try:
        before = yaml.safe_load(text)
    except yaml.YAMLError:
        before = None
    changes = semantic_diff(before, dict(stack)) if isinstance(before, dict) else []
    if not request.overwrite:
        _refuse_foreign(inspect_header(text), [str(change) for change in changes])
    if not isinstance(before, dict):
        return ["the present docker-compose.yml cannot be read as YAML; it is backed up and replaced"], []
    dangers = [str(change) for change in changes if change.danger]
    return dangers, [str(change) for change in changes if not change.danger]


def _refuse_foreign(header: GeneratedBy | Upstream | Foreign, changes: list[str]) -> None:
    now = "`disinto adopt` moves your part to docker-compose.override.yml; --overwrite goes on (a backup is kept)."
    lost = ["a new one would change:", *changes] if changes else []
    if isinstance(header, GeneratedBy) and not header.hash_ok:
        why = "Its content is not what this tool wrote: somebody edited it."
        raise Refused("docker-compose.yml was edited by hand.", why, now, code="compose.edited", details=lost)
    if isinstance(header, (Upstream, Foreign)):
        whose = "upstream's generator" if isinstance(header, Upstream) else "somebody else"
        why = f"It was written by {whose}, and may hold what a new one would lose."
        raise Refused(
            "There is a docker-compose.yml already.", why, now, code="compose.foreign", details=lost
        )


async def validated(
    instance: Instance, files: list[NewFile], inputs: StackInputs, endpoint: str
) -> dict[str, Any]:
    """What Compose makes of the files to be, every profile included, before anything is replaced."""
    with scratch() as place:
        named = {item.path: item.data for item in files}
        (place / ".env").touch(mode=0o600)
        (place / ".env").write_bytes(named[".env"])
        (place / "docker-compose.yml").write_bytes(named["docker-compose.yml"])
        override = [str(instance.override_file)] if instance.override_file.exists() else []
        target = compose_adapter.ComposeTarget(
            inputs.factory.project,
            str(instance.path),
            (str(place / "docker-compose.yml"), *override),
            str(place / ".env"),
            endpoint,
        )
        command = replace(compose_adapter.config_command(target), cwd=str(place))
        result = await run(command)
        if not result.ok:
            raise compose_adapter.refused(result)
        return compose_adapter.parsed_config(result)


_SHOWN = ("AGENTS_IMAGE",)


def change_of(instance: Instance, item: NewFile) -> FileChange:
    """How a file to be differs from what is there."""
    old = read_bytes(instance.path / item.path)
    if old == item.data:
        return FileChange(item.path, "keep", secret=item.secret)
    if old is None:
        return FileChange(item.path, "create", secret=item.secret, note=item.note)
    return FileChange(item.path, "change", _diff(item, old), item.secret, item.note)


def _diff(item: NewFile, old: bytes) -> str:
    """A short unified diff; of a secret file only which variables change."""
    if item.secret:
        return _env_diff(old, item.data)
    before, after = (data.decode(errors="replace").splitlines() for data in (old, item.data))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
    shown = [line for line in lines if not line.startswith("@@")]
    return "\n".join(shown)


def _env_diff(old: bytes, new: bytes) -> str:
    """What changes in `.env`, variable by variable: names, and the value of the pin alone.

    Not line by line: a value may go over several lines, and an address may hold a password.
    """
    before, after = (EnvFile.parse(data).values({}) for data in (old, new))
    lines: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        for sign, values in (("-", before), ("+", after)):
            if name in values:
                lines.append(f"{sign}{name}={values[name] if name in _SHOWN else '…'}")
    return "\n".join(lines)
