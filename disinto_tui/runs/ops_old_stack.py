"""The operation that brings an adopted stack back as it ran before: its containers, its images, its data."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from disinto_tui.adapters import engine_copy as copying
from disinto_tui.adapters.compose import ComposeTarget, config, up_command
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.instance import read_bytes, write_private
from disinto_tui.core.carry import repaired
from disinto_tui.core.compose_read import merge, read_compose
from disinto_tui.core.errors import DisintoError, Failed
from disinto_tui.core.image import parse_image
from disinto_tui.core.stack_dump import dump_override
from disinto_tui.runs.env import env_now
from disinto_tui.runs.health import by_service, service_of, watch
from disinto_tui.runs.ops_stack import remove_leftovers, streamed
from disinto_tui.runs.project import target_of_files
from disinto_tui.runs.runner import Context

_BACK_SECONDS = 120.0


class OldStack:
    """`files`, `images` {service: [reference, image id]}, `ids` {service: container}, `live` (services that ran),
    `there` (services that had a container), `data` (what was copied into volumes: [{"service", "path", "target",
    "container"}]), `act`: brings the stack back as it ran before it was adopted.

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
        images: Mapping[str, Sequence[str]] = params["images"]
        live: list[str] = list(params["live"])
        await _stop_others(ctx, engine, params)
        now = by_service(await engine.containers(ctx.plan.project))
        # The very containers of before: nobody touched them. Same images alone say nothing: the adopted stack has them.
        same = all(name in now and now[name]["Id"] == params["ids"].get(name) for name in live)
        if same and all((now[name].get("State") or {}).get("Running") for name in live):
            return "It never stopped running." if live else "Nothing ran before."
        for name in live:
            await _name_again(engine, name, *images[name])
        await remove_leftovers(ctx)
        target = await _with_data(ctx, engine, await _readable(ctx, params["files"]), params)
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
        after = by_service(await engine.containers(ctx.plan.project))
        for name in live:
            if after.get(name, {}).get("Image") != images[name][1]:
                raise Failed(
                    f"{name} does not run its previous image.",
                    f"It should be {images[name][1][:19]}.",
                    "Look at it with `docker inspect`.",
                    code="adopt.back",
                )
        return "What ran before runs again."


async def _stop_others(ctx: Context, engine: Engine, params: Mapping[str, Any]) -> None:
    """What did not run before does not run afterwards. A service that had a container keeps one, since that is what
    knows where its data is; one that had none loses it."""
    for item in await engine.containers(ctx.plan.project):
        name, identity = service_of(item), str(item["Id"])
        if name in params["live"]:
            continue
        called = str(item.get("Name", "")).lstrip("/")
        if (item.get("State") or {}).get("Running"):
            await engine.call(lambda client, one=identity: client.stop(one))  # type: ignore[misc]
            if name in params["there"]:
                ctx.say(f"stopped {called}, which did not run before")
        if name not in params["there"]:
            await engine.remove_container(identity)
            ctx.say(f"removed {called}, which was not there before")


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
            data = merge(data, read_compose((read_bytes(Path(path)) or b"").decode("utf-8-sig")).data)
        place = ctx.run.path / "old-stack.yml"
        write_private(place, dump_override(repaired(data)).encode())
        return replace(target, files=(str(place),))
    return target


async def _with_data(
    ctx: Context, engine: Engine, target: ComposeTarget, params: Mapping[str, Any]
) -> ComposeTarget:
    """The target with a private file more that mounts what was copied: the old files name no volume there.

    Compose hands a volume over from a container to its successor, but there may be no container left (`down`, or a
    recreate that was cut short): without it the service would begin with an empty one.
    """
    services: dict[str, Any] = {}
    volumes: dict[str, Any] = {}
    for at, item in enumerate(params.get("data", ())):
        if item["service"] not in params["live"] or await engine.container(item["container"]) is not None:
            continue
        if not await copying.volume_exists(engine, item["target"]):
            continue
        volumes[f"adopted-{at}"] = {"external": True, "name": item["target"]}
        mounts = services.setdefault(item["service"], {"volumes": []})["volumes"]
        mounts.append({"type": "volume", "source": f"adopted-{at}", "target": item["path"]})
        ctx.say(f"{item['service']} finds its data in {item['target']}")
    if not services:
        return target
    place = ctx.run.path / "old-data.yml"
    write_private(place, dump_override({"services": services, "volumes": volumes}).encode())
    return replace(target, files=(*target.files, str(place)))
