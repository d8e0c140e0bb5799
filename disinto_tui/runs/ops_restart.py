"""The end of a release: the factory itself runs what was just pushed. A whole switch inside one step."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from disinto_tui.adapters.compose import config, up_command
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.instance import read_bytes, write_private
from disinto_tui.adapters.tape import Asked, would
from disinto_tui.core.errors import DisintoError, Failed
from disinto_tui.core.plan import Plan, Step, plan_from_json, plan_to_json
from disinto_tui.runs.history import Entry
from disinto_tui.runs.needs import needs_of, stand
from disinto_tui.runs.ops_build import built_image, engine_of
from disinto_tui.runs.ops_keep import KEEP_REPOSITORY
from disinto_tui.runs.runner import Context, Operation, Place, last_state

_PLAN = "restart-plan.json"


class RestartAgents:
    """`reference`, `pin_digest`, `when_idle` (s or null), `soak` (s): the switch of the versions, in one step.

    Planned when its turn comes, since only then it is known what is pinned and who is at work. A switch that fails
    takes itself back, and then the step has failed.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """This run switched already, and saw it well: what runs since then is somebody's own choice."""
        plan = _noted(ctx)
        if plan is None or last_state(ctx, ctx.step_id) not in ("done", "skipped"):
            return None
        ctx.result.update(_told(plan))
        return "It was switched before."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Plan and perform the switch. Raises what planning raises, and Failed with the reason of its failure."""
        if not ctx.instance.exists:
            return {"restarted": False}
        # A switch that was under way when this run was killed is finished by its own plan: only that one knows what
        # ran before, since the pin may be written already.
        plan = _noted(ctx) or await self._plan(ctx, params)
        ctx.say(plan.title, *(f"note: {text}" for text in plan.notes))
        await _perform(ctx, plan)
        if not plan.changes:
            ctx.say("it runs already")
        return _told(plan)

    async def _plan(self, ctx: Context, params: Mapping[str, Any]) -> Plan:
        from disinto_tui.runs.switch import SOAK_SECONDS, SwitchRequest, plan_switch

        engine = await engine_of(ctx)
        image = await built_image(ctx, engine)
        # What was pushed is here: the image itself is meant, and no registry has to be asked for it.
        known = None
        if image is not None:
            digest = str(ctx.result.get("image_digest", "")) or next(
                (item.partition("@")[2] for item in image.digests), ""
            )
            known = Entry("", "switch", time.time(), params["reference"], digest, image.id, "", "good")
        prepared = await plan_switch(
            SwitchRequest(
                ctx.instance,
                params["reference"],
                params.get("pin_digest"),
                params.get("when_idle"),
                float(params.get("soak", SOAK_SECONDS)),
                known=known,
            )
        )
        for name, data in prepared.staged.items():
            write_private(ctx.run.staged / name, data)
        write_private(ctx.run.path / _PLAN, json.dumps(plan_to_json(prepared.plan)).encode())
        return prepared.plan

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Take the switch back, as far as it came."""
        plan = _noted(ctx)
        if plan is None:
            return "Nothing was switched."
        await _take_back(ctx, plan, list(plan.steps))
        return "The previous version is back."

    async def rehearse(self, place: Place, params: Mapping[str, Any]) -> tuple[str, list[Asked]]:
        """What the switch comes to when its services stay the same until then."""
        from disinto_tui.runs.project import find_project

        if not place.instance.exists:
            return "There is no factory here to switch.", []
        found = await find_project(Engine(place.plan.endpoint), place.instance)
        services = [item.name for item in place.plan.services if item.action == "recreate"]
        kept = f"{KEEP_REPOSITORY}/{found.name}"
        acts = [would("write", f"engine: tag the image that runs as {kept}:<its version>")]
        acts.append(would("write", f"{found.env.name}: AGENTS_IMAGE={params['reference']}"))
        if services:
            target = found.target(place.instance, place.plan.endpoint)
            needs = needs_of((await config(target)).get("services") or {}, services)
            alone = not needs or not await stand(Engine(place.plan.endpoint), target, needs)
            acts.append(would("write", str(up_command(target, services, no_deps=alone))))
            acts.append(
                would("read", f"engine: inspect {', '.join(services)} until healthy, and a while longer")
            )
            acts.append(would("write", f"engine: tag <the image> as {kept}:<its version>"))
            acts.append(would("write", f"engine: take names {kept}:… off images that no undo needs any more"))
        return "" if services else "No agents service runs: the pin alone is written.", acts


def _noted(ctx: Context) -> Plan | None:
    """The switch that this run began and did not take back."""
    noted = read_bytes(ctx.run.path / _PLAN)
    return None if noted is None else plan_from_json(json.loads(noted))


def _told(plan: Plan) -> dict[str, Any]:
    return {"restarted": True, "from": plan.facts.get("from", ""), "to": plan.facts.get("to", "")}


def _operations() -> Mapping[str, Operation]:
    from disinto_tui.runs.operations import OPERATIONS  # which holds this one, too

    return OPERATIONS


async def _perform(ctx: Context, plan: Plan) -> None:
    begun: list[Step] = []
    outer, ctx.plan = ctx.plan, plan  # operations read project and engine from the plan they are part of
    try:
        for step in plan.steps:
            begun.append(step)
            ctx.say(f"· {step.title}")
            operation = _operations()[step.op]
            already = await operation.check(ctx, step.params)
            if already is not None:
                ctx.say(already)
                continue
            ctx.result.update(await operation.run(ctx, step.params))
    except asyncio.CancelledError:
        # Aborted in the middle: what was begun goes back, as it does when it fails.
        await _take_back(ctx, plan, begun)
        raise
    except DisintoError as error:
        ctx.say(f"✗ {error.what} {error.why}", *error.details)
        await _take_back(ctx, plan, begun)
        raise Failed(
            error.what,
            f"{error.why} The previous version was brought back.",
            "Look at the lines above; the image is published all the same. `disinto resume` tries the switch again.",
            code=error.code,
            details=error.details,
        ) from None
    finally:
        ctx.plan = outer


async def _take_back(ctx: Context, plan: Plan, steps: list[Step]) -> None:
    """Undo steps of the switch, the last first. Raises Failed `run.stuck` naming what could not be taken back."""
    outer, ctx.plan = ctx.plan, plan
    stuck: DisintoError | None = None
    try:
        for step in reversed(steps):
            try:
                said = await _operations()[step.op].undo(ctx, step.params)
            except DisintoError as error:
                stuck = stuck or error
                said = f"{error.what} {error.why}"
            if said:
                ctx.say(f"↺ {step.id}: {said}")
    finally:
        ctx.plan = outer
    if stuck is not None:
        raise Failed(
            "Going back failed, too.",
            f"{stuck.what} {stuck.why}",
            "Mend it by hand with the lines below.",
            code="run.stuck",
            details=[*stuck.details, *(f"by hand: {line}" for line in plan.facts.get("by_hand", ()))],
        )
    (ctx.run.path / _PLAN).unlink(missing_ok=True)  # whoever tries again plans anew
