"""The instance's environment file: `.env` as it lies there, or `.env.enc` as sops opens it, in memory.

The clear text of `.env.enc` is kept by this process for as long as the file is the same, so that a screen which looks
every few seconds does not start sops every time; it is written nowhere.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Refused

_opened: dict[str, tuple[tuple[int, ...], bytes]] = {}
"""Clear texts by path, each with the inode, size and time of the file it came from."""


@dataclass(frozen=True, slots=True)
class Env:
    """The environment file. `kind`: "clear" `.env`, "sealed" `.env.enc`, "none" neither.

    `name` is the file's; `data` its clear text; `values` what Compose reads in it; `both` whether the other one
    lies there too.
    """

    kind: Literal["none", "clear", "sealed"]
    name: str = ".env"
    data: bytes | None = field(default=None, repr=False)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    both: bool = False

    @property
    def sealed_data(self) -> bytes | None:
        """The clear text when it must not lie on a disk: for `ComposeTarget.env_data`."""
        return self.data if self.kind == "sealed" else None


def _kind(instance: Instance) -> Literal["none", "clear", "sealed"]:
    # Compose reads `.env`, whatever lies beside it; so does everything here that only looks.
    if instance.env_file.exists():
        return "clear"
    return "sealed" if instance.sealed_env_file.exists() else "none"


def _env(instance: Instance, kind: Literal["none", "clear", "sealed"], data: bytes | None) -> Env:
    both = kind == "clear" and instance.sealed_env_file.exists()
    name = instance.sealed_env_file.name if kind == "sealed" else instance.env_file.name
    if data is None:
        return Env("none", both=both)
    values = {key: value for key, value in EnvFile.parse(data).values({}).items() if value is not None}
    return Env(kind, name, data, values, both)


async def load_env(instance: Instance) -> Env:
    """The environment file, opened when it is sealed.

    Raises BadInput when it is unreadable, and what `sops.decrypt` raises: Unavailable, Refused, Failed.
    """
    kind = _kind(instance)
    if kind != "sealed":
        return _env(instance, kind, read_bytes(instance.env_file))
    path = instance.sealed_env_file
    before = _stamp(instance)
    known = _opened.get(str(path))
    if known is not None and known[0] == before:
        return _env(instance, kind, known[1])
    from disinto_tui.adapters import sops

    data = await sops.decrypt(path)
    if before and before == _stamp(instance):
        _opened[str(path)] = (before, data)
    return _env(instance, kind, data)


def env_now(instance: Instance) -> Env:
    """The same for a caller that cannot wait otherwise. Blocks while sops works, the first time."""
    if _kind(instance) != "sealed":
        return _env(instance, _kind(instance), read_bytes(instance.env_file))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:  # a loop of its own: the caller's may be running
        return pool.submit(asyncio.run, load_env(instance)).result()


def _stamp(instance: Instance) -> tuple[int, ...]:
    try:
        found = os.stat(instance.sealed_env_file)  # noqa: PTH116
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_env(instance: Instance) -> dict[str, str]:
    """What Compose reads in the environment file with nothing in its own environment.

    For whoever only looks: raises BadInput when it is unreadable, also when sops cannot open it.
    """
    try:
        return dict(env_now(instance).values)
    except BadInput:
        raise
    except DisintoError as error:
        raise BadInput(error.what, error.why, error.now, code=error.code, details=error.details) from None


async def env_or_nothing(instance: Instance) -> Env:
    """The environment file, empty when it cannot be read: for whoever can do without it."""
    try:
        return await load_env(instance)
    except DisintoError:
        return Env("none")


def refuse_both(env: Env) -> None:
    """Raise Refused when `.env` and `.env.enc` lie side by side: whatever is written to one, the other says
    something else (Compose reads `.env`; the agents' own scripts `.env.enc`, where there is a sops)."""
    if env.both:
        raise Refused(
            "There are a .env and a .env.enc.",
            "Compose reads .env, the factory's own scripts read .env.enc where sops is installed; "
            "a pin in one of them would not be what the other says.",
            "Keep the one that is meant and move the other away.",
            code="env.both",
        )


async def with_pin(instance: Instance, env: Env, variable: str, value: str) -> bytes:
    """The environment file's bytes with one variable changed, as they are to lie on the disk: sealed as before.

    `value` must be no secret. Raises as `with_values` does.
    """
    if env.kind != "sealed":
        return EnvFile.parse(env.data or b"").set(variable, value).data
    return (await with_values(instance, env, {variable: value}))[0]


async def with_values(instance: Instance, env: Env, values: Mapping[str, str]) -> tuple[bytes, bytes]:
    """A sealed environment file with some variables changed: its bytes as they are to lie on the disk, and in clear.

    No value may be a secret. What sops made is opened and compared, so that nothing else differs. Raises what
    `sops.with_values` raises, and Failed when the outcome is not what was asked for.
    """
    if all(env.values.get(name) == value for name, value in values.items()):
        return read_bytes(instance.sealed_env_file) or b"", env.data or b""
    from disinto_tui.adapters import sops

    made = await sops.with_values(instance, instance.sealed_env_file, values)
    now = await sops.opened(instance, made)
    if EnvFile.parse(now).values({}) != {**env.values, **values}:
        names = " and ".join(values)
        raise Failed(
            f"sops did not change {names} alone.",
            f"With the value set, {instance.sealed_env_file.name} reads otherwise than it should.",
            f"Look whether {names} stands in it once; nothing was changed.",
            code="sops.outcome",
        )
    return made, now
