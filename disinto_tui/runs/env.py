"""The instance's `.env`, read the way Compose reads it."""

from __future__ import annotations

from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.errors import DisintoError


def read_env(instance: Instance) -> dict[str, str]:
    """`.env` as Compose reads it with nothing in its environment. Raises BadInput when it is unreadable."""
    data = read_bytes(instance.env_file)
    if data is None:
        return {}
    return {key: value for key, value in EnvFile.parse(data).values({}).items() if value is not None}


def env_or_nothing(instance: Instance) -> dict[str, str]:
    """`.env`, empty when it cannot be read: for whoever can do without it, and whose reader is told elsewhere."""
    try:
        return read_env(instance)
    except DisintoError:
        return {}
