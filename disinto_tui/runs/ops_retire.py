"""The operation that moves files of the instance to the kept originals of an adoption, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import Instance, disk_error, read_bytes
from disinto_tui.core.errors import Refused
from disinto_tui.runs.ops_adopt import originals
from disinto_tui.runs.ops_files import digest
from disinto_tui.runs.runner import Context


class RetireFiles:
    """`files`: [{"path", "content"}], names in the instance and hashes of what they hold; `run`: the adoption's id, ""
    for this run; `back`: they return. Moved, not copied: owner, mode and time stay, and a link stays one."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Already where they should be."""
        out = not params.get("back")
        pairs = [
            (_source(ctx, params, item, out), _target(ctx, params, item, out)) for item in params["files"]
        ]
        done = all(_there(target) and not _there(source) for source, target in pairs)
        return "The files are where they should be." if done else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Move each. Raises Refused when one was changed or is in the way, Failed `disk.*`."""
        self._move(ctx, params, out=not params.get("back"))
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Move each back. Raises as `run` does."""
        moved = self._move(ctx, params, out=bool(params.get("back")))
        return f"{', '.join(moved)} back in place." if moved else None

    def _move(self, ctx: Context, params: Mapping[str, Any], *, out: bool) -> list[str]:
        moved = []
        for item in params["files"]:
            source, target = _source(ctx, params, item, out), _target(ctx, params, item, out)
            if not _there(source) and _there(target):
                continue
            if digest(content(ctx.instance, source)) != item["content"] or _there(target):
                raise Refused(
                    f"{item['path']} is not what it was when the plan was made.",
                    f"It should go from {source} to {target}, and one of the two was changed since.",
                    "Look at both, then give the command again.",
                    code="files.changed",
                )
            try:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                source.rename(target)
            except OSError as error:
                raise disk_error(target, error) from None
            ctx.say(f"moved {item['path']} {'to ' + str(target) if out else 'back'}")
            moved.append(str(item["path"]))
        return moved


def _place(ctx: Context, params: Mapping[str, Any], item: Mapping[str, Any], out: bool) -> Path:
    kept: Path = originals(ctx.instance, params.get("run") or ctx.run.id) / item["path"]
    return kept if out else ctx.instance.path / item["path"]


def _source(ctx: Context, params: Mapping[str, Any], item: Mapping[str, Any], out: bool) -> Path:
    return _place(ctx, params, item, not out)


def _target(ctx: Context, params: Mapping[str, Any], item: Mapping[str, Any], out: bool) -> Path:
    return _place(ctx, params, item, out)


def content(instance: Instance, path: Path) -> bytes | None:
    """What a file of the instance holds that may be moved away. A link says where it leads from its old place."""
    return read_bytes(instance.path / path.readlink() if path.is_symlink() else path)


def _there(path: Path) -> bool:
    return os.path.lexists(path)
