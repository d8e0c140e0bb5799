"""Operations of a switch: is the tag still the same, recreate, watch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from disinto_tui.adapters.compose import ComposeTarget, compose, up_command
from disinto_tui.adapters.engine import Engine, LocalImage
from disinto_tui.adapters.engine_streams import pull
from disinto_tui.adapters.process import run
from disinto_tui.core.errors import DisintoError, Failed, Refused
from disinto_tui.core.image import parse_image
from disinto_tui.runs.echo import echoed
from disinto_tui.runs.env import env_now
from disinto_tui.runs.health import Patience, Verdict, ended_well, service_of, unhealthy, watch
from disinto_tui.runs.history import short
from disinto_tui.runs.needs import stand
from disinto_tui.runs.ops_stack import image_is_here, remove_leftovers, streamed
from disinto_tui.runs.project import target_of_files
from disinto_tui.runs.runner import Context
from disinto_tui.runs.versions import open_registry

_BACK_SECONDS = 120.0


class SameTag:
    """`reference`, `digest`: stop when the tag was moved since the version was picked."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Always asked."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """HEAD the tag. Raises Refused `tag.moved`; a registry that is down is no reason when the image is here."""
        reference = parse_image(params["reference"])
        try:
            async with await open_registry(reference.registry, Engine(ctx.plan.endpoint)) as client:
                now = (await client.head(reference.repository, reference.tag or "latest")).digest
        except DisintoError as error:
            if not await image_is_here(Engine(ctx.plan.endpoint), params["reference"], params["digest"]):
                raise
            ctx.say(f"not asked: {error.what}")
            return {}
        if now != params["digest"]:
            raise Refused(
                f"The tag {reference.tag} was moved.",
                f"When it was picked it was {params['digest']}, now it is {now}.",
                "Find out who moved it; `disinto use` again takes what it is now.",
                code="tag.moved",
                details=[f"picked  {params['digest']}", f"now     {now}"],
            )
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nothing was done."""
        return None


class Recreate:
    """`services`, `reference`, `files`, `before`, `images`, `needs`: exactly these services, on the image of `.env`.

    `before` is the pin they had and `images` the image id of each: what undo brings back, and verifies. `needs` is what
    they depend on (`needs_of`).
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Every one runs, from the wanted image and made from the present definition."""
        engine = Engine(ctx.plan.endpoint)
        image = await engine.image(params["reference"])
        if image is None:
            return None
        running = await _running(engine, ctx.plan.project, params["services"])
        for service in params["services"]:
            inspect = running.get(service) or {}
            # Running, not only made from it: the host may have gone down since.
            if inspect.get("Image") != image.id or not (inspect.get("State") or {}).get("Running"):
                return None  # the usual case, known without Compose, whose answer costs 0.15 s
        hashes = await run(compose(_target(ctx, params), "config", "--hash", "*", writes=False, timeout=30))
        wanted = dict(line.split()[:2] for line in hashes.stdout.splitlines() if len(line.split()) == 2)
        for service in params["services"]:
            labels = (running[service].get("Config") or {}).get("Labels") or {}
            if labels.get("com.docker.compose.config-hash") != wanted.get(service):
                return None
        return "They run it already."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """`up` on those services and no other, never cut short. Raises Failed."""
        await remove_leftovers(ctx)
        await self._up(
            ctx,
            params,
            _target(ctx, params),
            "Nothing to do: it goes back to the previous version by itself.",
        )
        return {}

    async def _up(self, ctx: Context, params: Mapping[str, Any], target: ComposeTarget, now: str) -> None:
        needs = params.get("needs") or {}
        alone = not needs or not await stand(Engine(ctx.plan.endpoint), target, needs)
        command = up_command(target, params["services"], no_deps=alone)
        await asyncio.shield(streamed(ctx, command, "The services could not be recreated.", now))

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Bring the previous image up again and watch it; Failed when it does not come up.

        An engine that is away is waited for: it may well be why there is something to take back.
        """
        engine, patience = Engine(ctx.plan.endpoint), Patience(ctx.say)
        running = await patience.ask(lambda: _running(engine, ctx.plan.project, params["services"]))
        before: Mapping[str, str] = params["images"]
        if all(running.get(name, {}).get("Image") == image for name, image in before.items()) and all(
            (item.get("State") or {}).get("Running") for item in running.values()
        ):
            return "They never left the previous image."
        if not params["before"]:
            return "There was no pin to go back to; they stay as they are."
        reference = await _name_back(ctx, engine, params["before"], before)
        # `.env` still holds the new pin at this moment; its own undo comes after this one.
        target = _target(ctx, params).with_variables({"AGENTS_IMAGE": reference})
        await self._up_again(ctx, params, target, engine, patience)
        verdicts = await watch(
            engine,
            ctx.plan.project,
            params["services"],
            timeout=_BACK_SECONDS,
            on_change=_teller(ctx),
            patience=patience,
        )
        for verdict in verdicts:
            if not verdict.good and verdict.service in params.get("well", params["services"]):
                raise await unhealthy(engine, ctx.plan.project, verdict)
            if not verdict.good:
                ctx.say(f"{verdict.service} {verdict.words}, as it was before")
        after = await _running(engine, ctx.plan.project, params["services"])
        meant = await engine.image(reference)
        for name, image in before.items():
            if after[name]["Image"] == image:
                continue
            if len(set(before.values())) > 1 and meant is not None and after[name]["Image"] == meant.id:
                ctx.say(f"{name} runs {short(reference)} like the others now; before it ran {image[7:19]}")
            else:
                raise Failed(
                    f"{name} does not run its previous image.",
                    f"It runs {after[name]['Image']}, and ran {image} before.",
                    "Look at it with `docker inspect`.",
                    code="switch.other_image",
                )
        return f"{short(params['before'])} runs again and is healthy."

    async def _up_again(
        self,
        ctx: Context,
        params: Mapping[str, Any],
        target: ComposeTarget,
        engine: Engine,
        patience: Patience,
    ) -> None:
        """`_up`, and once more each time the engine went away under it."""
        while True:
            await remove_leftovers(ctx)
            patience.returned = False
            try:
                now = "Mend what it names, then `disinto resume --undo`."
                return await self._up(ctx, params, target, now)
            except DisintoError:
                await patience.ask(engine.version)
                if not patience.returned:
                    raise


async def _name_back(ctx: Context, engine: Engine, reference: str, images: Mapping[str, str]) -> str:
    """The reference by which the previous image can be started: the previous pin, which must mean that image again
    should its tag have been moved or taken away meanwhile.

    A digest that this engine has no record of any more (its last name was removed, while ours keeps the image) is
    pulled; where no registry answers, the tag alone names it.
    """
    ids = set(images.values())
    found = parse_image(reference)
    if len(ids) != 1 or found.tag is None:
        return reference
    (previous,) = ids
    if found.digest:
        if await engine.image(reference) is not None:
            return reference
        with contextlib.suppress(DisintoError):
            await pull(
                engine,
                f"{found.familiar.partition('@')[0].rpartition(':')[0]}@{found.digest}",
                lambda *_: None,
            )
        if await engine.image(reference) is not None:
            return reference
        ctx.say("this engine does not know its digest any more, so it is started by its tag")
    plain = reference.partition("@")[0]
    image = await engine.image(plain)
    if image is None or image.id != previous:
        await engine.tag(previous, parse_image(plain).familiar, found.tag)
    return plain


def _target(ctx: Context, params: Mapping[str, Any]) -> ComposeTarget:
    env = env_now(ctx.instance)
    return target_of_files(ctx.instance, ctx.plan.project, params["files"], ctx.plan.endpoint, env)


async def _running(engine: Engine, project: str, services: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {service_of(item): item for item in await engine.containers(project, services=services)}


def _teller(ctx: Context) -> Any:
    return lambda verdict: ctx.say(f"{verdict.service}: {verdict.words}")


class WatchSwitch:
    """`services`, `reference`, `timeout`, `soak` (s): healthy, on the right image, and still so a while later."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Always looked at: healthy is observed, not assumed."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Watch, verify the image id, soak. Raises Failed with the failed container's last lines."""
        engine = Engine(ctx.plan.endpoint)
        services = list(params["services"])
        async with echoed(ctx, engine, services):
            return await self._watch(ctx, engine, params, services)

    async def _watch(
        self, ctx: Context, engine: Engine, params: Mapping[str, Any], services: list[str]
    ) -> Mapping[str, Any]:
        patience = Patience(ctx.say)
        while True:
            verdicts = await watch(
                engine,
                ctx.plan.project,
                services,
                timeout=float(params["timeout"]),
                on_change=_teller(ctx),
                patience=patience,
            )
            await _raise_bad(ctx, engine, verdicts)
            image = await patience.ask(lambda: engine.image(params["reference"]))
            running = await patience.ask(lambda: _running(engine, ctx.plan.project, services))
            if patience.returned:
                continue
            _same_image(params["reference"], image, running, services)
            # An engine that came back has started its containers anew: what they did before proves nothing.
            if await self._soak(ctx, engine, params, running, patience):
                break
        unverified = [verdict.service for verdict in verdicts if not verdict.verified]
        return {
            "watched": services,
            "image_id": image.id if image is not None else "",
            "unverified": unverified,
        }

    async def _soak(
        self,
        ctx: Context,
        engine: Engine,
        params: Mapping[str, Any],
        first: Mapping[str, Mapping[str, Any]],
        patience: Patience,
    ) -> bool:
        """For `soak` seconds none may restart, end, turn unhealthy or be replaced. False: the engine was away."""
        soak = float(params["soak"])
        end = time.monotonic() + soak
        while (left := end - time.monotonic()) > 0:
            ctx.progress("soak", int(soak - left), int(soak), "staying healthy", "s")
            await asyncio.sleep(min(0.5, left))
            running = await patience.ask(lambda: _running(engine, ctx.plan.project, list(first)))
            if patience.returned:
                return False
            for name, document in first.items():
                bad = _changed(name, document, running.get(name))
                if bad is not None:
                    if await patience.was_away(engine):
                        return False
                    await _raise_bad(ctx, engine, [bad])
        if soak:
            ctx.progress("soak", int(soak), int(soak), "staying healthy", "s")
            ctx.say(f"stayed so for {soak:g} s")
        return True

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nothing was done."""
        return None


def _same_image(
    reference: str,
    image: LocalImage | None,
    running: Mapping[str, Mapping[str, Any]],
    services: Sequence[str],
) -> None:
    """Raise Failed when a service runs another image than the one that `reference` names here."""
    for name in services:
        made_from = running[name]["Image"] if name in running else "nothing, it is gone"
        if image is None or made_from != image.id:
            raise Failed(
                f"{name} runs another image than {reference}.",
                f"Its container was made from {made_from}.",
                "Another tool may have recreated it; try again when nobody else does.",
                code="switch.other_image",
            )


def _changed(name: str, before: Mapping[str, Any], now: Mapping[str, Any] | None) -> Verdict | None:
    if now is None or now["Id"] != before["Id"]:
        return Verdict(name, False, "absent", "was replaced or removed by somebody else while it was watched")
    state = now.get("State") or {}
    health = str((state.get("Health") or {}).get("Status", "none"))
    if int(now.get("RestartCount", 0)) > int(before.get("RestartCount", 0)):
        words = f"restarted while it was watched (exit code {state.get('ExitCode', '?')})"
        return Verdict(name, False, "restarting", words, container=str(now["Id"]))
    if not state.get("Running") and ended_well(now):
        return None
    if not state.get("Running"):
        words = f"ended with exit code {state.get('ExitCode', '?')} while it was watched"
        return Verdict(name, False, "exited", words, container=str(now["Id"]))
    if health == "unhealthy":
        words = "turned unhealthy while it was watched"
        return Verdict(name, False, "unhealthy", words, container=str(now["Id"]))
    return None


async def _raise_bad(ctx: Context, engine: Engine, verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        if not verdict.good:
            failure = await unhealthy(engine, ctx.plan.project, verdict)
            raise Failed(
                failure.what,
                failure.why,
                "Nothing to do: it goes back to the previous version by itself.",
                code=failure.code,
                details=failure.details,
            )
