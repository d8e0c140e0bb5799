"""Operations that the doctor's `--fix` is made of: rights of files narrowed, leftovers of a recreate removed."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.engine_look import LOOK_LABEL
from disinto_tui.adapters.instance import disk_error
from disinto_tui.core.errors import Refused
from disinto_tui.runs.health import is_leftover
from disinto_tui.runs.runner import Context


class Modes:
    """`files`: [{"path", "before", "mode"}]: permission bits in octal, of files below the instance."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nobody else may use them already."""
        open_ones = [item for item in params["files"] if (_bits(ctx, item) or 0) & 0o077]
        return None if open_ones else "They are their owner's alone already."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take the bits of others away. Raises Failed when it is not ours to do."""
        for item in params["files"]:
            path, bits = _path(ctx, item), _bits(ctx, item)
            if bits is None or not bits & 0o077:
                continue
            _set(path, bits & 0o700)
            ctx.say(f"{item['path']}: {bits:o} -> {bits & 0o700:o}")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """As they were."""
        for item in params["files"]:
            if _bits(ctx, item) is not None:
                _set(_path(ctx, item), int(item["before"], 8))
        return "The files' rights are as they were."


def _path(ctx: Context, item: Mapping[str, Any]) -> Path:
    path = ctx.instance.path / str(item["path"])
    if path.is_symlink():
        raise Refused(
            f"{item['path']} is a link.",
            "The rights of what it leads to are somebody else's business.",
            "Look where it leads, and mend that by hand.",
            code="files.link",
        )
    return path


def _bits(ctx: Context, item: Mapping[str, Any]) -> int | None:
    try:
        return stat.S_IMODE((ctx.instance.path / str(item["path"])).stat().st_mode)
    except FileNotFoundError:
        return None


def _set(path: Path, bits: int) -> None:
    try:
        path.chmod(bits)
    except OSError as error:
        raise disk_error(path, error) from None


class RemoveLeftovers:
    """`containers`: ids of containers that were made in the midst of something and never ran. No volume that a service
    may have goes with them."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """They are gone."""
        engine = Engine(ctx.plan.endpoint)
        here = [item for item in params["containers"] if await engine.container(item) is not None]
        return None if here else "They are gone already."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Remove those that still are what they were taken for."""
        engine = Engine(ctx.plan.endpoint)
        for identity in params["containers"]:
            inspect = await engine.container(identity)
            if inspect is None:
                continue
            name = str(inspect.get("Name", "")).lstrip("/")
            labels = (inspect.get("Config") or {}).get("Labels") or {}
            look = LOOK_LABEL in labels and (inspect.get("State") or {}).get("Status") == "created"
            if look or is_leftover(inspect):
                # What a look was made with holds a copy of the image's files alone; a leftover of a recreate may hold
                # the very volumes that the service has.
                await engine.remove_container(identity, anonymous=look)
                ctx.say(f"removed {name}")
            else:
                ctx.say(f"{name} stays: it is something else by now")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """What never ran is not missed."""
        return None
