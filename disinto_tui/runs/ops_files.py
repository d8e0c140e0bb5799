"""Operations on the instance's own files: directories made, staged files put in place."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import (
    Instance,
    disk_error,
    read_bytes,
    replace_file,
    unfinished,
    write_private,
)
from disinto_tui.core.errors import Failed, Refused
from disinto_tui.runs.runner import Context


def digest(data: bytes | None) -> str:
    """The hash a plan records for a file's content; "" for a file that is not there."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def file_mode(path: Path) -> str:
    """A file's permission bits in octal, as plans record them; "" when it is not there."""
    try:
        return f"{stat.S_IMODE(path.stat().st_mode):o}"
    except FileNotFoundError:
        return ""


def remove_file(path: Path) -> None:
    """Remove a file that was made. A link that led to nothing before stays, and leads to nothing again."""
    (path.resolve() if path.is_symlink() else path).unlink(missing_ok=True)


def replacement(instance: Instance, path: str, data: bytes, mode: str) -> dict[str, str]:
    """What `PutFiles` is told of one staged file, relative to the instance: its mode (octal) and content to be, and
    both as they are now, which is what it looks for before it acts. Raises BadInput when it cannot be read."""
    place = instance.path / path
    return {
        "path": path,
        "mode": mode,
        "mode_before": file_mode(place),
        "before": digest(read_bytes(place)),
        "after": digest(data),
    }


class MakeDirectories:
    """`directories`: [{"path", "mode"}] relative to the instance; what is missing is made."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Already there."""
        fine = all(_as_wanted(ctx.instance.path / item["path"], item) for item in params["directories"])
        return "The directories are there." if fine else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make them, parents included. Raises Failed, Refused when a file is in the way."""
        for item in params["directories"]:
            path = ctx.instance.path / item["path"]
            if path.exists() and not path.is_dir():
                raise Refused(
                    f"{path} is a file.",
                    "A directory must stand there.",
                    "Move it away, then `disinto resume`.",
                    code="files.in_the_way",
                )
            if _as_wanted(path, item):
                continue
            try:
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(int(item["mode"], 8))
                if "owner" in item and os.geteuid() == 0:
                    os.chown(path, int(item["owner"]), int(item["owner"]))
            except OSError as error:
                raise disk_error(path, error) from None
            ctx.say(f"made {item['path']}/")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Remove those the plan was to make, as far as they are empty."""
        kept: list[str] = []
        for item in reversed(list(params["directories"])):
            path = ctx.instance.path / item["path"]
            if path.is_dir():
                try:
                    path.rmdir()
                except OSError:
                    kept.append(item["path"])
        return f"Kept, because something is in it: {', '.join(sorted(kept))}." if kept else None


def _as_wanted(path: Path, item: Mapping[str, Any]) -> bool:
    """There, and its owner's: a kill between making a directory and giving it away must not be forgotten."""
    if not path.is_dir():
        return False
    # Only root can give a directory away; anybody else's container user is their own business.
    return "owner" not in item or os.geteuid() != 0 or path.stat().st_uid == int(item["owner"])


class PutFiles:
    """`files`: [{"path", "mode", "mode_before", "before", "after"}]: staged contents put in place, each atomically.

    `before` and `after` are content hashes: a file that is neither has been changed since the plan was made,
    and is not touched. The order is the plan's: the compose file last, so it never names what is not there.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Already in place."""
        here = [digest(read_bytes(ctx.instance.path / item["path"])) for item in params["files"]]
        wanted = [item["after"] for item in params["files"]]
        return "The files are in place." if here == wanted else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put each in place, backing up what stood there. Raises Failed, Refused."""
        for item in params["files"]:
            path = ctx.instance.path / item["path"]
            now = digest(read_bytes(path))
            if now == item["after"]:
                continue
            if now != item["before"]:
                raise _changed(item["path"])
            data = read_bytes(ctx.run.staged / item["path"])
            if data is None or digest(data) != item["after"]:
                raise Failed(
                    f"The new {item['path']} is gone.",
                    "The run's staged file is missing or damaged.",
                    "`disinto resume --undo` takes the run back; then start it again.",
                    code="files.staged",
                )
            replace_file(path, data, mode=int(item["mode"], 8), backup=ctx.run.backup / item["path"])
            ctx.say(f"wrote {item['path']}")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Put back what stood there, or remove what was new. Every file is looked at before one is touched.

        Raises Refused when one was edited since, Failed when a backup is gone; nothing is changed then.
        """
        todo = [item for item in reversed(list(params["files"])) if self._to_undo(ctx, item)]
        for item in todo:
            path = ctx.instance.path / item["path"]
            now = read_bytes(path)
            old = now if digest(now) == item["before"] else read_bytes(ctx.run.backup / item["path"])
            if item["before"] and old is not None:
                replace_file(path, old, mode=int(item["mode_before"], 8))
                continue
            if now is not None:
                # What is removed stays readable in the run's directory: it may hold the only copy of a token.
                write_private(ctx.run.path / "removed" / item["path"], now)
            remove_file(path)
        return f"{len(todo)} file{'s' if len(todo) != 1 else ''} as before." if todo else None

    def _to_undo(self, ctx: Context, item: Mapping[str, Any]) -> bool:
        path = ctx.instance.path / item["path"]
        unfinished(path).unlink(missing_ok=True)  # a kill in the middle of writing it
        now = digest(read_bytes(path))
        if now not in (item["before"], item["after"]):
            raise _changed(item["path"])
        if now == item["before"]:
            return file_mode(path) != str(item["mode_before"])
        if item["before"] and read_bytes(ctx.run.backup / item["path"]) is None:
            raise Failed(
                f"The backup of {item['path']} is gone.",
                "It should be in the run's directory.",
                "Restore the file from your own backup.",
                code="files.backup",
            )
        return True


def _changed(path: str) -> Refused:
    return Refused(
        f"{path} was changed by somebody else since the plan was made.",
        "Writing it now would lose that change.",
        "Look at it, then make a new plan by giving the command again.",
        code="files.changed",
    )
