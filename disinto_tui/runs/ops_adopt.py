"""Operations of adopting: originals kept and put back, data copied and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from disinto_tui.adapters import engine_copy as copying
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.instance import Instance, read_bytes, replace_file, unfinished, write_private
from disinto_tui.core.errors import DisintoError, Failed, Refused
from disinto_tui.core.plan import Step
from disinto_tui.runs.health import service_of
from disinto_tui.runs.ops_files import MakeDirectories, digest, file_mode, remove_file
from disinto_tui.runs.runner import Context

RUN_LABEL = "io.disinto.adopt"
"""On a volume that adopting made: the id of its run."""
_BACK_SECONDS = 120.0


def originals(instance: Instance, run: str) -> Path:
    """Where the files that a run of `adopt` replaced are kept, for as long as the instance: a run's own backups are
    thinned out one day."""
    return instance.private / "adopted" / run


def as_adopted(instance: Instance, run: str) -> Path:
    """Where the files are kept that a run of `adopt` wrote, as it wrote them."""
    return originals(instance, run) / ".as-adopted"


class KeepOriginals:
    """`files`: paths relative to the instance: what they hold now is kept for `adopt --undo`, and what they get."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """All are kept already."""
        kept = originals(ctx.instance, ctx.run.id) / "complete"
        return "They are kept." if kept.exists() else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Copy them (0600). Raises Failed `disk.*`."""
        place = originals(ctx.instance, ctx.run.id)
        for name in params["files"]:
            data, new = read_bytes(ctx.instance.path / name), read_bytes(ctx.run.staged / name)
            if data is not None:
                write_private(place / name, data)
            if new is not None:  # what is there from now on, for whoever changes it and wants to go back
                write_private(as_adopted(ctx.instance, ctx.run.id) / name, new)
        write_private(place / "complete", b"")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """They harm nobody."""
        return None


class RescueData:
    """`service`, `container`, `path`, `volume` (key in the compose file), `target` (its full name), `image`, `running`:
    what a container keeps at `path`, in an anonymous volume or in its own layer, goes into the named volume.

    The container is stopped first, so that what is copied is whole; the copy is compared with it file by file.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """The container is gone, and its successor has the volume mounted."""
        engine = Engine(ctx.plan.endpoint)
        if await engine.container(params["container"]) is not None:
            return None
        for item in await engine.containers(ctx.plan.project):
            for mount in item.get("Mounts") or ():
                if service_of(item) == params["service"] and mount.get("Name") == params["target"]:
                    return "The data is in its named volume already."
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stop, copy, compare. Raises Refused when the volume holds something else, Failed when the copy differs."""
        engine, target = Engine(ctx.plan.endpoint), str(params["target"])
        container, path = str(params["container"]), str(params["path"])
        document = await engine.container(container)
        if document is None:
            raise Refused(
                f"The container of {params['service']} is gone.",
                "Somebody recreated it since the plan was made, and its data is not where it was.",
                "`disinto adopt` again looks where it is now.",
                code="adopt.moved",
            )
        if (document.get("State") or {}).get("Running"):
            ctx.say(f"stopping {params['service']}, so that its data is whole")
            await engine.call(lambda client: client.stop(container, timeout=30))
        wanted = await copying.manifest(engine, container, path)
        if wanted is None:
            ctx.say(f"there is nothing at {path}")
            return {}
        labels = {
            "com.docker.compose.project": ctx.plan.project,
            "com.docker.compose.volume": str(params["volume"]),
            RUN_LABEL: ctx.run.id,
        }
        if not await copying.volume_exists(engine, target):
            await copying.make_volume(engine, target, labels)
        await copying.remove_helpers(engine, target)
        async with copying.VolumeHelper(engine, params["image"], target) as helper:
            found = await helper.manifest()
        before, mine = (
            _content(found),
            (await copying.volume_labels(engine, target)).get(RUN_LABEL) == ctx.run.id,
        )
        if before == _content(wanted) and (not (before and mine) or dict(found) == dict(wanted)):
            ctx.say(f"{target} holds it already")
            return {}
        if before and not mine:
            raise Refused(
                f"The volume {target} holds something else already.",
                f"It should get what {params['service']} has at {path}, and one of the two would be hidden.",
                f"Look into {target}, empty it if it is not meant, and adopt again.",
                code="adopt.two_data",
            )
        if before:
            ctx.say(f"{target} holds half a copy of this run; it is begun anew")
            await copying.remove_volume(engine, target)
            await copying.make_volume(engine, target, labels)
        async with copying.VolumeHelper(engine, params["image"], target) as helper:
            await helper.fill_from(container, path)
            after = await helper.manifest()
        different = sorted(name or path for name in {*wanted, *after} if wanted.get(name) != after.get(name))
        if different:
            raise Failed(
                f"The copy of {params['service']}'s data is not like the original.",
                f"{len(different)} of {len(wanted)} entries differ.",
                "Nothing to do: the old stack is brought back, and its data is where it was.",
                code="adopt.copy_differs",
                details=different[:10],
            )
        size = sum(item[4] for item in wanted.values())
        ctx.say(f"copied {len(wanted)} entries, {size} bytes, from {path} to {target}; compared, the same")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Start the container again where it is still there, and remove the copy; else the volume is what counts."""
        engine = Engine(ctx.plan.endpoint)
        document = await engine.container(params["container"])
        if document is None:
            return f"Its data is in {params['target']}, and stays there."
        if params["running"] and not (document.get("State") or {}).get("Running"):
            await engine.start_container(params["container"])
        await copying.remove_helpers(engine, params["target"])
        labels = await copying.volume_labels(engine, params["target"])
        if labels.get(RUN_LABEL) == ctx.run.id:
            try:
                await copying.remove_volume(engine, params["target"])
            except DisintoError as error:
                return f"The copy stays: {error.why}"
        return f"{params['service']} goes on with its data where it was."


def _content(found: copying.Manifest) -> dict[str, tuple[Any, ...]]:
    """What is in the directory: a volume that has nothing in it is free, whatever its top looks like."""
    return {name: about for name, about in found.items() if name}


class PutBack:
    """`files`: [{"path", "mode", "mode_now", "now", "before"}]: originals back in place; `before` "" means that there
    was no such file. `directories`: [{"path", ...}] that were made, removed when they are empty."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Already so."""
        here = [digest(read_bytes(ctx.instance.path / item["path"])) for item in params["files"]]
        empty = [item for item in params["directories"] if _is_empty(ctx.instance.path / item["path"])]
        return "The files are back." if here == [x["before"] for x in params["files"]] and not empty else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put each back. Raises Refused when one was changed since the plan was made, Failed when one is gone."""
        for item in params["files"]:
            path = ctx.instance.path / item["path"]
            now = digest(read_bytes(path))
            if now == item["before"]:
                continue
            old = read_bytes(ctx.run.staged / item["path"]) if item["before"] else None
            if now != item["now"]:
                raise _changed(item["path"])
            if item["before"] and digest(old) != item["before"]:
                raise Failed(
                    f"The original {item['path']} is gone.",
                    "The run's copy of it is missing or damaged.",
                    f"Restore it from {ctx.instance.private / 'adopted'}.",
                    code="files.staged",
                )
            if old is not None:
                replace_file(path, old, mode=int(item["mode"], 8), backup=ctx.run.backup / item["path"])
            else:
                data = read_bytes(path)
                if data is not None:
                    write_private(ctx.run.backup / item["path"], data)
                remove_file(path)
            ctx.say(f"{item['path']} as before")
        for item in params["directories"]:
            path = ctx.instance.path / item["path"]
            if _is_empty(path):
                path.rmdir()
            elif path.is_dir():
                ctx.say(f"{item['path']}/ stays: something is in it that the adopted stack wrote")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """The adopted files again, and their directories. Raises Refused when one was changed since."""
        await MakeDirectories().run(ctx, {"directories": list(reversed(params["directories"]))})
        for item in params["files"]:
            path = ctx.instance.path / item["path"]
            unfinished(path).unlink(missing_ok=True)
            now = digest(read_bytes(path))
            if now == item["now"]:
                continue
            data = read_bytes(ctx.run.backup / item["path"])
            if now != item["before"] or data is None:
                raise _changed(item["path"])
            replace_file(path, data, mode=int(item["mode_now"], 8))
        return "The adopted files are back."


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _changed(path: str) -> Refused:
    return Refused(
        f"{path} was changed since the plan was made.",
        "Writing it now would lose that change.",
        "Look at it, then give the command again.",
        code="files.changed",
    )


def copied(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """What the steps of an adoption copy into volumes, for `OldStack`."""
    names = ("service", "path", "target", "container")
    return [{key: step.params[key] for key in names} for step in steps if step.op == "rescue-data"]


def put_back_files(instance: Instance, run: str, files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The parameters of `PutBack` for the files that a run of `adopt` wrote."""
    return [
        {
            "path": item["path"],
            "mode": item["mode_before"],
            "mode_now": file_mode(instance.path / item["path"]),
            "now": digest(read_bytes(instance.path / item["path"])),
            "before": item["before"],
        }
        for item in files
    ]
