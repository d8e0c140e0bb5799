"""Operations of adopting: originals kept, data copied and compared, the old stack brought back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from disinto_tui.adapters import engine_copy as copying
from disinto_tui.adapters.compose import ComposeTarget, config, up_command
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.instance import Instance, read_bytes, replace_file, unfinished, write_private
from disinto_tui.core.carry import repaired
from disinto_tui.core.compose_read import merge, read_compose
from disinto_tui.core.errors import DisintoError, Failed, Refused
from disinto_tui.core.image import parse_image
from disinto_tui.core.stack_dump import dump_override
from disinto_tui.runs.env import env_now
from disinto_tui.runs.health import service_of, watch
from disinto_tui.runs.ops_files import digest, file_mode
from disinto_tui.runs.ops_stack import remove_leftovers, streamed
from disinto_tui.runs.project import target_of_files
from disinto_tui.runs.runner import Context

RUN_LABEL = "io.disinto.adopt"
"""On a volume that adopting made: the id of its run."""
_BACK_SECONDS = 120.0


def originals(instance: Instance, run: str) -> Path:
    """Where the files that a run of `adopt` replaced are kept, for as long as the instance: a run's own backups are
    thinned out one day."""
    return instance.private / "adopted" / run


class KeepOriginals:
    """`files`: paths relative to the instance: what they hold now is kept for `adopt --undo`."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """All are kept already."""
        kept = originals(ctx.instance, ctx.run.id) / "complete"
        return "They are kept." if kept.exists() else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Copy them (0600). Raises Failed `disk.*`."""
        place = originals(ctx.instance, ctx.run.id)
        for name in params["files"]:
            data = read_bytes(ctx.instance.path / name)
            if data is not None:
                write_private(place / name, data)
        write_private(place / "complete", b"")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """They harm nobody."""
        return None


class OldStack:
    """`files`, `images` {service: [reference, image id]}, `live` (services that ran), `there` (services that had a
    container), `act`: brings the stack back as it ran before it was adopted.

    With `act` that is what the step does; without it is the undo of a step that does nothing. The images are started by
    the names they had, which must mean the same images again.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Always looked at."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Bring it back, when that is what this step is for. Raises Failed."""
        if params.get("act"):
            await self._back(ctx, params)
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Bring it back. Raises Failed."""
        if params.get("act"):
            return "`disinto up` starts what the files say."
        return await self._back(ctx, params)

    async def _back(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        engine = Engine(ctx.plan.endpoint)
        now = {service_of(item): item for item in await engine.containers(ctx.plan.project)}
        images: Mapping[str, Sequence[str]] = params["images"]
        live: list[str] = list(params["live"])
        for name in sorted(set(now) - set(params["there"])):
            await _remove(ctx, engine, now[name])
        same = all(
            name in now and now[name]["Image"] == images[name][1] and _is(now[name], params["ids"].get(name))
            for name in live
        )
        if same and all((now[name].get("State") or {}).get("Running") for name in live):
            return "It never stopped running."
        for name in live:
            await _name_again(engine, name, *images[name])
        if not live:
            return "Nothing ran before."
        await remove_leftovers(ctx)
        target = await _readable(ctx, params["files"])
        command = up_command(target, live, no_deps=True)
        what, mend = "What ran before did not start.", "Mend what it names, then `disinto resume --undo`."
        await asyncio.shield(streamed(ctx, command, what, mend))
        verdicts = await watch(
            engine,
            ctx.plan.project,
            live,
            timeout=_BACK_SECONDS,
            on_change=lambda v: ctx.say(f"{v.service}: {v.words}"),
        )
        for verdict in verdicts:
            if not verdict.good and verdict.service in params["well"]:
                raise Failed(
                    f"{verdict.service} does not run as it did before.",
                    f"It {verdict.words}.",
                    f"Look at it with `docker logs {verdict.container[:12]}`.",
                    code="adopt.back",
                )
        after = {service_of(item): item for item in await engine.containers(ctx.plan.project)}
        for name in live:
            if after.get(name, {}).get("Image") != images[name][1]:
                raise Failed(
                    f"{name} does not run its previous image.",
                    f"It should be {images[name][1][:19]}.",
                    "Look at it with `docker inspect`.",
                    code="adopt.back",
                )
        return "What ran before runs again."


def _is(inspect: Mapping[str, Any], identity: str | None) -> bool:
    return identity is None or inspect["Id"] == identity


async def _remove(ctx: Context, engine: Engine, inspect: Mapping[str, Any]) -> None:
    identity = str(inspect["Id"])
    await engine.call(lambda client: client.stop(identity))
    await engine.remove_container(identity)
    ctx.say(f"removed {str(inspect.get('Name', '')).lstrip('/')}, which was not there before")


async def _name_again(engine: Engine, service: str, reference: str, image: str) -> None:
    """The name that a service was started by means its image again. Raises Failed when the image is gone."""
    if await engine.image(image) is None:
        raise Failed(
            f"The image that {service} ran is gone.",
            f"{image[:19]} is not on this host any more.",
            "Build or pull it again under the name in its compose file, then `docker compose up -d`.",
            code="adopt.image",
        )
    found = await engine.image(reference)
    if (found is None or found.id != image) and "@" not in reference and not reference.startswith("sha256:"):
        named = parse_image(reference)
        await engine.tag(image, named.with_tag(None).familiar, named.tag or "latest")


async def _readable(ctx: Context, files: Sequence[str]) -> ComposeTarget:
    """The old files, or, where Compose refuses them, what they mean with the undeclared declared."""
    target = target_of_files(ctx.instance, ctx.plan.project, files, ctx.plan.endpoint, env_now(ctx.instance))
    try:
        await config(target)
    except DisintoError as error:
        ctx.say(f"{error.why} A private copy without that is used.")
        data: dict[str, Any] = {}
        for path in files:
            data = merge(data, read_compose((read_bytes(Path(path)) or b"").decode(errors="replace")).data)
        place = ctx.run.path / "old-stack.yml"
        write_private(place, dump_override(repaired(data)).encode())
        return replace(target, files=(str(place),))
    return target


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
        if not await copying.volume_exists(engine, target):
            labels = {
                "com.docker.compose.project": ctx.plan.project,
                "com.docker.compose.volume": str(params["volume"]),
                RUN_LABEL: ctx.run.id,
            }
            await copying.make_volume(engine, target, labels)
        mine = (await copying.volume_labels(engine, target)).get(RUN_LABEL) == ctx.run.id
        async with copying.VolumeHelper(engine, params["image"], target) as helper:
            before = await helper.manifest()
            if _content(before) == _content(wanted):
                ctx.say(f"{target} holds it already")
                return {}
            if _content(before) and not mine:
                raise Refused(
                    f"The volume {target} holds something else already.",
                    f"It should get what {params['service']} has at {path}, and one of the two would be hidden.",
                    f"Look into {target}, empty it if it is not meant, and adopt again.",
                    code="adopt.two_data",
                )
            await helper.fill_from(container, path)
            after = await helper.manifest()
        different = sorted(
            name
            for name in {*_content(wanted), *_content(after)}
            if _content(wanted).get(name) != _content(after).get(name)
        )
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
        labels = await copying.volume_labels(engine, params["target"])
        if labels.get(RUN_LABEL) == ctx.run.id:
            try:
                await copying.remove_volume(engine, params["target"])
            except DisintoError as error:
                return f"The copy stays: {error.why}"
        return f"{params['service']} goes on with its data where it was."


def _content(found: copying.Manifest) -> dict[str, tuple[Any, ...]]:
    """What counts: everything but the top directory itself, whose owner the engine sets."""
    return {name: about for name, about in found.items() if name}


class PutBack:
    """`files`: [{"path", "mode", "mode_now", "now", "before"}]: originals back in place; `before` "" means that there
    was no such file. `directories`: those that were made, removed when they are empty."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Already so."""
        here = [digest(read_bytes(ctx.instance.path / item["path"])) for item in params["files"]]
        return "The files are back." if here == [item["before"] for item in params["files"]] else None

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
                path.unlink(missing_ok=True)
            ctx.say(f"{item['path']} as before")
        for name in params["directories"]:
            path = ctx.instance.path / name
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """The adopted files again. Raises Refused when one was changed since."""
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


def _changed(path: str) -> Refused:
    return Refused(
        f"{path} was changed since the plan was made.",
        "Writing it now would lose that change.",
        "Look at it, then give the command again.",
        code="files.changed",
    )


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
