"""The operation that builds an image from a commit, and how what it built is found again."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from disinto_tui.adapters.engine import Engine, LocalImage, find_endpoint
from disinto_tui.adapters.git import Checkout, archive_arguments, git_command
from disinto_tui.adapters.instance import read_bytes, writing
from disinto_tui.adapters.process import Command, child_environment, run
from disinto_tui.adapters.tape import Asked, would
from disinto_tui.core.errors import DisintoError, Failed, Unavailable
from disinto_tui.runs.runner import Context, Place

REVISION, VERSION = "org.opencontainers.image.revision", "org.opencontainers.image.version"
_STEP = re.compile(r"^#\d+ \[([^\]]*? )?(\d+)/(\d+)\] (.*)")
_ATTEMPT = "export-"
BUILT = "<the image>"
UNCLIPPED = "BUILDKIT_STEP_LOG_MAX_SPEED=1073741824 BUILDKIT_STEP_LOG_MAX_SIZE=1073741824"
"""In the engine's own environment: bytes a second and bytes. -1, which later versions take for no limit, makes Engine
20.10 print nothing at all (observed)."""
_CLIPPED = "[output clipped, log limit"
_LOST = "failed to receive status"
"""How the builder's client says that it did not hear the end: the engine goes away 3 s after a build is done, whether
its log was read until then or not (buildx 0.13, observed on a busy machine with 200,000 lines)."""
_TRIES = 3


async def engine_of(ctx: Context) -> Engine:
    """The plan's engine; a formula's plan names none, and then it is the one the docker CLI would use."""
    return Engine(ctx.plan.endpoint or await find_endpoint())


def _id_file(ctx: Context) -> Path:
    return ctx.run.path / "image-id"


def _drop_attempts(ctx: Context) -> None:
    """Remove what attempts to build left: exported trees, archives, ids that nobody took over."""
    for path in ctx.run.path.glob(f"{_ATTEMPT}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


async def built_image(ctx: Context, engine: Engine) -> LocalImage | None:
    """The image that this run built, by the id its builder wrote; None when there is none (any more).

    A run that begins after the build (`--from`) means the newest image here that is labelled as this version of this
    commit.
    """
    noted = read_bytes(_id_file(ctx))
    if noted and noted.strip():
        return await engine.image(noted.decode().strip())
    sha, version = ctx.plan.facts.get("sha"), ctx.plan.facts.get("version")
    if not (sha and version) or any(step.op == "build-image" for step in ctx.plan.steps):
        return None
    found = await engine.images(labels={REVISION: str(sha), VERSION: str(version)})
    newest = max(found, key=lambda item: int(item.get("Created", 0)), default=None)
    return await engine.image(str(newest["Id"])) if newest is not None else None


async def need_image(ctx: Context, engine: Engine) -> LocalImage:
    """`built_image`. Raises Failed `image.gone`."""
    image = await built_image(ctx, engine)
    if image is None:
        raise Failed(
            "The image of this run is not on this host.",
            "It was not built, or was removed since.",
            "`disinto resume` builds it anew when the build step is not done; `--from build-image` does, too.",
            code="image.gone",
        )
    return image


class BuildImage:
    """`checkout`, `sha`, `version`, `created` (RFC 3339), `source`, `dockerfile`, `arguments`, `labels`.

    Built with BuildKit from an export of that very commit: what lies about in the work tree is not in it. The image
    is known by the id that the builder writes to a file, never by a name.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """This run built it already, and it is here."""
        image = await built_image(ctx, await engine_of(ctx))
        if image is not None and image.labels.get(REVISION) == params["sha"]:
            ctx.result["image_id"] = image.id
            return f"It was built: {image.id.removeprefix('sha256:')[:12]}."
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Export, build, verify. Raises Failed `build.failed` with the log's last lines, Unavailable."""
        engine = await engine_of(ctx)
        await asyncio.to_thread(_drop_attempts, ctx)
        # A name for each attempt: the builder of a run that was killed may still be reading and writing its own.
        tree = ctx.run.path / f"{_ATTEMPT}{os.getpid()}"
        try:
            with writing(tree):
                await Checkout(params["checkout"]).export(params["sha"], tree)
            ctx.say(f"exported {params['sha']}")
            clipped = await self._build(ctx, engine, params, tree)
        finally:
            await asyncio.to_thread(_drop_attempts, ctx)
        image = await need_image(ctx, engine)
        if image.labels.get(REVISION) != params["sha"]:
            raise Failed(
                "The image that was built says that it is another commit.",
                f"Its label {REVISION} is {image.labels.get(REVISION, 'not there')}.",
                "Look whether the Dockerfile sets that label itself.",
                code="build.other",
            )
        ctx.say(f"built {image.id}")
        return {"image_id": image.id, **({"log_clipped": clipped} if clipped else {})}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """An image harms nobody."""
        await asyncio.to_thread(_drop_attempts, ctx)
        return "The image stays on this host."

    async def rehearse(self, place: Place, params: Mapping[str, Any]) -> tuple[str, list[Asked]]:
        """The export and the build; the run's directory is not there yet, and stands as RUN."""
        tree = Path("RUN") / f"{_ATTEMPT}PID"
        arguments = archive_arguments(tree.with_name(f"{tree.name}.tar"), params["sha"])
        build = build_command(params, tree, tree.with_name(f"{tree.name}.id"), place.plan.endpoint)
        acts = [would("read", str(git_command(params["checkout"], *arguments))), would("write", str(build))]
        return "", [*acts, would("read", f"engine: inspect {BUILT}")]

    async def _build(self, ctx: Context, engine: Engine, params: Mapping[str, Any], tree: Path) -> int:
        clipped, last = 0, list[str]()

        def take(stream: str, lines: Sequence[str]) -> None:
            nonlocal clipped
            clipped += sum(_CLIPPED in line for line in lines)
            last[:] = [*last, *lines][-20:]
            for line in lines:
                if line[:1] == "#" and (found := instruction_in(line)):
                    stage, number, count, text = found
                    ctx.progress(stage, number, count, text[:60], "steps")
            ctx.lines(stream, lines)

        _id_file(ctx).unlink(missing_ok=True)
        identity = tree.with_name(f"{tree.name}.id")
        for left in reversed(range(_TRIES)):
            last.clear()
            result = await run(build_command(params, tree, identity, engine.endpoint), on_lines=take)
            lost = not result.ok and any(_LOST in line for line in last)
            if not (lost and left):
                break
            clipped += 1
            ctx.say(
                "▲ the log broke off before its end; the builder is asked again, and has in its cache what is done"
            )
        if clipped:
            ctx.say(
                f"▲ {clipped} times lines were cut out of this log (BuildKit's limit is 200 KiB/s and 2 MiB a step); "
                f"start the engine with {UNCLIPPED} to have it whole"
            )
        if not result.ok:
            raise build_error(last, result.returncode)
        with writing(identity):
            identity.replace(_id_file(ctx))
        return clipped


def instruction_in(line: str) -> tuple[str, int, int, str] | None:
    """The instruction that a line of BuildKit's plain log begins: its stage ("build" where there is one alone), which
    one of how many, its text. Stages are built at the same time: counted apart, no bar ever goes back."""
    found = _STEP.match(line)
    if found is None:
        return None
    return (found[1] or "").strip() or "build", int(found[2]), int(found[3]), found[4]


def build_command(params: Mapping[str, Any], tree: Path, id_file: Path, endpoint: str) -> Command:
    """`docker buildx build` of an exported tree, by the engine's own BuildKit, its log as plain text."""
    labels = {
        VERSION: params["version"],
        REVISION: params["sha"],
        "org.opencontainers.image.created": params["created"],
        **({"org.opencontainers.image.source": params["source"]} if params.get("source") else {}),
        **params.get("labels", {}),
    }
    arguments = {
        "VERSION": params["version"],
        "REVISION": params["sha"],
        "CREATED": params["created"],
        **({"SOURCE": params["source"]} if params.get("source") else {}),
        **params.get("arguments", {}),
    }
    argv = ["docker", "buildx", "build", "--builder", "default", "--progress", "plain", "--provenance=false"]
    argv += [
        "--iidfile",
        str(id_file),
        "--file",
        str(tree / params.get("dockerfile", "docker/agents/Dockerfile")),
    ]
    for name, value in arguments.items():
        argv += ["--build-arg", f"{name}={value}"]
    for name, value in labels.items():
        argv += ["--label", f"{name}={value}"]
    environment = child_environment({"DOCKER_HOST": endpoint, "DOCKER_BUILDKIT": "1"})
    environment.pop("DOCKER_CONTEXT", None)
    return Command((*argv, str(tree)), writes=True, cwd=str(tree), env=environment)


def build_error(last: Sequence[str], code: int) -> DisintoError:
    """What a failed build means, by the last lines of its log: Failed `build.failed`, `disk.full`; Unavailable
    `build.lost` when the engine went away."""
    what, details = "The image could not be built.", [line for line in last if line.strip()]
    if any("no space left on device" in line.lower() for line in last):
        return Failed(
            what,
            "The disk of the engine is full.",
            "Free some space (`docker system df` shows what takes it; prune images, never volumes), "
            "then `disinto resume`.",
            code="disk.full",
            details=details,
        )
    if any(word in line for line in last for word in (_LOST, "Cannot connect to the Docker daemon")):
        return Unavailable(
            what,
            "The engine broke off, or did not answer.",
            "Look whether it is there (`docker info`), then `disinto resume`.",
            code="build.lost",
            details=details,
        )
    wrong = next((line for line in reversed(last) if line.startswith("ERROR")), "")
    return Failed(
        what,
        f"{wrong.removeprefix('ERROR: ').rstrip('.') or f'The builder ended with {code}'}.",
        # A release builds the commit that it tagged: what is wrong there, no resume can mend.
        "Read the log of this step. Mend the cause, then `disinto resume`; when it is in a tagged commit, "
        "`disinto resume --undo`, and release the mended one as the next version.",
        code="build.failed",
        details=details,
    )
