"""Operations on the names of local images: the one a switch is about to start, and those that an undo may need.

What is kept is an image and not a version: a tag that was moved means two of them, and undo leads to the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.core.errors import DisintoError, Failed
from disinto_tui.core.image import local_name, parse_image
from disinto_tui.runs.history import KEPT, history, rollback_order, short
from disinto_tui.runs.pin import KEEP_REPOSITORY as KEEP_REPOSITORY  # noqa: PLC0414  # others find it here
from disinto_tui.runs.runner import Context

_LONGEST = 100
"""Letters of a version in a kept name: with the image's id a tag has to stay under 128 (OCI distribution, 3)."""


def kept_tag(version: str, image: str) -> str:
    """The tag that keeps an image (its id) of a version ("" when none is known)."""
    digits = image.removeprefix("sha256:")[:12]
    return f"{version[:_LONGEST]}-{digits}" if version else digits


class NameImage:
    """`reference`, `image`: an image that is here under our own or another name gets the reference's."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """It has it."""
        image = await Engine(ctx.plan.endpoint).image(params["reference"])
        return "It has it already." if image is not None and image.id == params["image"] else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tag it. Raises Failed when the image is gone."""
        reference = parse_image(params["reference"])
        await Engine(ctx.plan.endpoint).tag(params["image"], reference.familiar, reference.tag or "latest")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """A name harms nobody."""
        return None


class KeepImage:
    """`images`, `reference`: the images that run now get a name of ours, so that no prune takes them."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Tagging is cheap."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tag them; an image that is gone already is said, and is no reason to stop."""
        engine = Engine(ctx.plan.endpoint)
        named = await engine.image(params["reference"]) if params["reference"] else None
        for image in params["images"]:
            # Two services may run two images: only the one that the pin means is called by its version.
            its = len(params["images"]) == 1 or (named is not None and named.id == image)
            await _keep(ctx, engine, image, short(params["reference"]) if its else "")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """The name stays: the image is the one that runs again."""
        return None


class RecordGood:
    """`reference`, `images`: keep the image that runs now and those it replaced (ids), and let go of kept ones that
    no undo leads to."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Tagging is cheap."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tag, and take our name off all but the images that a rollback would use. Never a reason to go back."""
        try:
            await self._record(ctx, params)
        except DisintoError as error:
            ctx.say(f"not kept: {error.what} {error.why}")
        return {}

    async def _record(self, ctx: Context, params: Mapping[str, Any]) -> None:
        engine = Engine(ctx.plan.endpoint)
        image = await engine.image(local_name(params["reference"]))
        here = [image.id] if image is not None else []
        if image is not None:
            await _keep(ctx, engine, image.id, short(params["reference"]))
        # Known good or not, undo leads to what this run replaced; then comes what `rollback` would choose.
        order = rollback_order(history(ctx.instance), params["reference"])
        wanted = list(
            dict.fromkeys(
                [*here, *params.get("images", ()), *(entry.image for entry in order if entry.image)]
            )
        )[: KEPT + 1]
        name = f"{KEEP_REPOSITORY}/{ctx.plan.project}"
        for item in await engine.images(name):
            if item["Id"] in wanted:
                continue
            for tag in item.get("RepoTags") or ():
                if not str(tag).startswith(f"{name}:"):
                    continue
                try:
                    await engine.untag(str(tag))
                    ctx.say(f"{tag} is no longer kept")
                except Failed as error:
                    ctx.say(f"{tag} stays: {error.why}")

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """A name harms nobody."""
        return None


async def _keep(ctx: Context, engine: Engine, image: str, version: str) -> None:
    name = f"{KEEP_REPOSITORY}/{ctx.plan.project}"
    tag = kept_tag(version, image)
    try:
        await engine.tag(image, name, tag)
        ctx.say(f"kept as {name}:{tag}")
    except Failed as error:
        ctx.say(f"{image[:19]} could not be kept: {error.why}")
