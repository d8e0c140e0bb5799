"""The environment file as it is after an adoption: the pin in it, old names written anew; `.env.enc` stays sealed."""

from __future__ import annotations

import os
import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass, field

from disinto_tui.core.carry import Carried
from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.errors import Refused
from disinto_tui.core.image import parse_image
from disinto_tui.core.lineage import LEGACY, RENAMED
from disinto_tui.core.model import NO_API_KEY
from disinto_tui.core.redact import Secret
from disinto_tui.core.stack import StackInputs
from disinto_tui.runs.adopt_look import Situation
from disinto_tui.runs.adopt_sources import COMPOSE, OVERRIDE
from disinto_tui.runs.env import with_values
from disinto_tui.runs.project import by_hand


@dataclass(frozen=True, slots=True)
class NewEnv:
    """`name` and `data` are the file's as it lies on the disk, `clear` what Compose reads in it. `changed` are the
    variables that sops was asked for, with their values; {} where the file lies in clear."""

    name: str
    data: bytes = field(repr=False)
    clear: EnvFile = field(repr=False)
    changed: Mapping[str, str] = field(default_factory=dict)

    @property
    def sealed(self) -> bool:
        """Whether its clear text must lie on no disk."""
        return self.name != ".env"


async def new_env(found: Situation, inputs: StackInputs, pin: str, kept: bool, carried: Carried) -> NewEnv:
    """The environment file to be. `pin` is the whole reference of what agents run, `kept` whether that is the name of
    an image that was kept here, with no version in it.

    Raises Refused when a secret would have to be added to a sealed one, and what sops' own errors are.
    """
    present = found.found.env
    sealed = present.kind == "sealed"
    had = dict(present.values)
    values, gone = _changes(found, pin, kept, carried)
    secrets = _secrets(inputs, had)
    if not sealed:
        env = EnvFile.parse(present.data or b"")
        for name in gone:
            env = env.unset(name)
        for name, value in values.items():
            env = env.set(name, value) if env.get(name) != value else env
        for name, secret in secrets.items():
            env = env.set(name, secret)
        return NewEnv(".env", env.data, env)
    if secrets:
        raise _refused(found, sorted(secrets))
    # sops can be asked for a value, not for its end: what would go says the same as the rest.
    if "COMPOSE_FILE" in gone:
        separator = had.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        there = bool(carried.override) or found.instance.override_file.exists()
        values["COMPOSE_FILE"] = separator.join([COMPOSE, *([OVERRIDE] if there else [])])
    if "DISINTO_IMAGE_TAG" in gone and not kept:
        values["DISINTO_IMAGE_TAG"] = parse_image(pin).tag or "latest"
    changed = {name: value for name, value in values.items() if had.get(name) != value}
    data, clear = await with_values(found.instance, present, changed)
    return NewEnv(found.instance.sealed_env_file.name, data, EnvFile.parse(clear), changed)


def _changes(found: Situation, pin: str, kept: bool, carried: Carried) -> tuple[dict[str, str], list[str]]:
    """Values that are no secrets, and names that go. DISINTO_IMAGE_TAG goes, unless something that is kept reads it:
    then it says the same as the pin."""
    had = found.found.env.values
    values, gone = {"AGENTS_IMAGE": pin}, []
    if "DISINTO_IMAGE_TAG" in had:
        if "DISINTO_IMAGE_TAG" not in str(carried.override):
            gone.append("DISINTO_IMAGE_TAG")
        elif not kept:
            values["DISINTO_IMAGE_TAG"] = parse_image(pin).tag or "latest"
    both = {str(found.instance.compose_file), str(found.instance.override_file)}
    if "COMPOSE_FILE" in had and set(by_hand(found.instance, had).files) != both:
        gone.append("COMPOSE_FILE")  # what its files say is in the two from now on
    for name in RENAMED:
        today = LEGACY[name][0]
        if today.endswith("USERNAMES") and had.get(name) and not had.get(today):
            values[today] = had[name]
    return values, gone


def _secrets(inputs: StackInputs, had: Mapping[str, str]) -> dict[str, Secret]:
    """Secrets that the new stack needs and `.env` does not have under that name."""
    found: dict[str, Secret] = {}
    for name in RENAMED:
        today = LEGACY[name][0]
        if not today.endswith("USERNAMES") and had.get(name) and not had.get(today):
            found[today] = Secret(had[name])
    if inputs.bundled and not had.get("WOODPECKER_AGENT_SECRET"):
        found["WOODPECKER_AGENT_SECRET"] = Secret(random.token_hex(20))
    for _, agent in inputs.local_agents:
        if agent.api_key != NO_API_KEY and not had.get(agent.api_key_variable):
            found[agent.api_key_variable] = Secret(agent.api_key)
    return found


def _refused(found: Situation, names: list[str]) -> Refused:
    old = {LEGACY[name][0]: name for name in RENAMED}
    values = [
        f"{name}: the value of {old[name]}"
        if name in old
        else f"{name}: 40 characters at random"
        if name == "WOODPECKER_AGENT_SECRET"
        else f"{name}: the key in the project file"
        for name in names
    ]
    file = found.instance.sealed_env_file.name
    return Refused(
        f"{file} has no {' and no '.join(names)}, which the new stack needs.",
        "They are secrets, and sops takes a value on its command line only, where every process list would show it.",
        f"Add them by hand: `sops --input-type dotenv --output-type dotenv {file}`; then adopt again.",
        code="env.sealed",
        details=values,
    )
