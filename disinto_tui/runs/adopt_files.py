"""The files that `adopt` writes, and Compose's own judgement of them before anything is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from disinto_tui.adapters import compose as compose_adapter
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.adapters.process import run
from disinto_tui.adapters.resources import template
from disinto_tui.adapters.scratch import scratch
from disinto_tui.core.companions import TEMPLATES, companions
from disinto_tui.core.stack import StackInputs
from disinto_tui.runs.adopt_env import NewEnv
from disinto_tui.runs.adopt_look import Situation
from disinto_tui.runs.adopt_sources import COMPOSE, OVERRIDE, source_mode
from disinto_tui.runs.init_model import NewFile
from disinto_tui.runs.ops_files import file_mode


def adopted_files(
    instance: Instance,
    inputs: StackInputs,
    toml: tuple[str, bytes] | None,
    env: NewEnv,
    override: bytes | None,
    compose: str,
    sources: Sequence[str],
) -> list[NewFile]:
    """The files to be, the compose file last. What is there and not ours to replace stays as it is.

    `sources` are the files that the stack was made from.
    """
    files = []
    if toml is not None:
        files.append(NewFile(f"projects/{toml[0]}", toml[1], note="a [factory] table at its end"))
    files.append(
        NewFile(
            env.name, env.data, secret=True, note="by sops, encrypted as before" if env.sealed else "the pin"
        )
    )
    texts = {name: template(name) for name in TEMPLATES}
    for companion in companions(inputs, texts):
        if read_bytes(instance.path / companion.path) is None:
            files.append(NewFile(companion.path, companion.text.encode()))
    if override is not None:
        files.append(NewFile(OVERRIDE, override, note="what is this factory's own"))
    files.append(NewFile(COMPOSE, compose.encode(), note="made anew"))
    for item in files:
        # Who could read a file before can read it afterwards, but for `.env` when it is new.
        mode = file_mode(instance.path / item.path)
        item.mode = int(mode, 8) if mode else 0o600 if item.secret else 0o644
        together = source_mode(sources) if item.path == OVERRIDE or not mode else None
        if together is not None and item.path in (OVERRIDE, COMPOSE):
            # What was in one of them may be a secret, and is in the override from now on.
            item.mode = item.mode & together if mode else together
    return files


async def validated(
    instance: Instance, files: Sequence[NewFile], env: NewEnv, found: Situation
) -> dict[str, Any]:
    """What Compose makes of the files to be, every profile included. Raises Failed when it refuses them."""
    with scratch() as place:
        named = {item.path: item.data for item in files}
        present = read_bytes(instance.override_file)
        override = named.get(OVERRIDE, present)
        clear = () if env.sealed else ((env.name, env.data),)
        for name, data in (*clear, (COMPOSE, named[COMPOSE])):
            (place / name).touch(mode=0o600)
            (place / name).write_bytes(data)
        given = [str(place / COMPOSE)]
        if override is not None:
            (place / OVERRIDE).touch(mode=0o600)
            (place / OVERRIDE).write_bytes(override)
            given.append(str(place / OVERRIDE))
        target = compose_adapter.ComposeTarget(
            found.found.name,
            str(instance.path),
            tuple(given),
            None if env.sealed else str(place / env.name),
            found.engine.endpoint,
            env_data=env.clear.data if env.sealed else None,
        )
        result = await run(replace(compose_adapter.config_command(target), cwd=str(place)))
        if not result.ok:
            raise compose_adapter.refused(result)
        return compose_adapter.parsed_config(result)
