"""Operations that make an image and publish it: built from a commit, named, pushed, read back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from disinto_tui.adapters.dockerconfig import DockerConfig
from disinto_tui.adapters.engine import Engine, LocalImage, find_endpoint
from disinto_tui.adapters.engine_push import push
from disinto_tui.adapters.git import Checkout, archive_arguments, git_command
from disinto_tui.adapters.instance import read_bytes, writing
from disinto_tui.adapters.process import Command, child_environment, run
from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_auth import Credential, CredentialSource, NoCredentials, StaticCredentials
from disinto_tui.adapters.tape import Asked, would
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Refused, Unavailable
from disinto_tui.core.image import parse_image
from disinto_tui.core.redact import Secret
from disinto_tui.runs.runner import Context, Place
from disinto_tui.runs.versions import open_registry

REVISION, VERSION = "org.opencontainers.image.revision", "org.opencontainers.image.version"
_STEP = re.compile(r"^#\d+ \[([^\]]*? )?(\d+)/(\d+)\] (.*)")
_ATTEMPT = "export-"
_BUILT = "<the image>"
_CLIPPED = "[output clipped, log limit"
_PUSH_PAUSES = (2.0, 5.0, 15.0)
"""Seconds before a push that broke off is tried again."""


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


async def _need_image(ctx: Context, engine: Engine) -> LocalImage:
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
        image = await _need_image(ctx, engine)
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
        return "", [*acts, would("read", f"engine: inspect {_BUILT}")]

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
        result = await run(build_command(params, tree, identity, engine.endpoint), on_lines=take)
        if clipped:
            ctx.say(
                f"▲ {clipped} times BuildKit cut lines out of this log (the engine's limit, 200 KiB/s and 2 MiB a "
                "step); set BUILDKIT_STEP_LOG_MAX_SPEED=-1 and BUILDKIT_STEP_LOG_MAX_SIZE=-1 for the engine to "
                "have it whole"
            )
        if not result.ok:
            wrong = next((line for line in reversed(last) if line.startswith("ERROR")), "")
            if any("no space left on device" in line.lower() for line in last):
                raise Failed(
                    "The image could not be built.",
                    "The disk of the engine is full.",
                    "Free some space (`docker system df` shows what takes it; prune images, never volumes), "
                    "then `disinto resume`.",
                    code="disk.full",
                    details=[line for line in last if line.strip()],
                )
            raise Failed(
                "The image could not be built.",
                f"{wrong.removeprefix('ERROR: ').rstrip('.') or f'The builder ended with {result.returncode}'}.",
                "Read the log of this step, mend the cause, then `disinto resume`.",
                code="build.failed",
                details=[line for line in last if line.strip()],
            )
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


class TagImage:
    """`reference`, `aliases`: names for the image that this run built; `latest` comes with the push, and last."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Every name means it."""
        engine = await engine_of(ctx)
        image = await built_image(ctx, engine)
        for name in self._names(params):
            named = await engine.image(name)
            if image is None or named is None or named.id != image.id:
                return None
        return "It has its names."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give it its names, and read them back. Raises Failed."""
        engine = await engine_of(ctx)
        image = await _need_image(ctx, engine)
        for name in self._names(params):
            reference = parse_image(name)
            await engine.tag(image.id, reference.familiar.rpartition(":")[0], reference.tag or "latest")
            ctx.say(f"{image.id.removeprefix('sha256:')[:12]} is {name}")
        return {"image_ref": params["reference"]}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Take the names off that still mean this image."""
        engine = await engine_of(ctx)
        image = await built_image(ctx, engine)
        taken = []
        for name in self._names(params):
            named = await engine.image(name)
            if image is not None and named is not None and named.id == image.id:
                with contextlib.suppress(Failed):  # the last name of an image that a container uses stays
                    await engine.untag(name)
                    taken.append(name)
        return f"Taken off: {', '.join(taken)}." if taken else "It had none of the names."

    async def rehearse(self, place: Place, params: Mapping[str, Any]) -> tuple[str, list[Asked]]:
        """The names."""
        return "", [would("write", f"engine: tag {_BUILT} as {name}") for name in self._names(params)]

    def _names(self, params: Mapping[str, Any]) -> list[str]:
        return [params["reference"], *params.get("aliases", ())]


class PushImage:
    """`reference`, `latest` (a reference or ""), `user`, `secret` (the name of the push credential).

    The version's tag goes first, and is never overwritten when it means another image there. What is in the registry
    afterwards is read back. Without the secret, Docker's own stored login is used.
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """The registry has this very image under every name."""
        engine = await engine_of(ctx)
        image = await built_image(ctx, engine)
        if image is None:
            return None
        try:
            async with await self._registry(ctx, params) as client:
                for name in filter(None, (params["reference"], params.get("latest"))):
                    if await _config_there(client, name) != image.id:
                        return None
                ctx.result.update(await self._published(client, params, engine))
        except Unavailable:
            return None  # `run` asks more than once
        return "The registry has it."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Push, read back, and see whether anybody may pull it. Raises Refused `tag.elsewhere`, Failed, Unavailable."""
        engine = await engine_of(ctx)
        image = await _need_image(ctx, engine)
        for pause in (*_PUSH_PAUSES, None):
            try:
                found = await self._publish(ctx, engine, params, image)
                break
            except Unavailable as error:
                if pause is None:
                    raise
                ctx.say(f"{error.what} {error.why} Tried again in {pause:g} s.", *error.details)
                await asyncio.sleep(pause)
        ctx.say(
            "anybody may pull it"
            if found["public"]
            else "▲ the package is private: who pulls it needs a login of their own"
        )
        return found

    async def _publish(
        self, ctx: Context, engine: Engine, params: Mapping[str, Any], image: LocalImage
    ) -> dict[str, Any]:
        """Once: what has arrived already is not sent again."""
        async with await self._registry(ctx, params) as client:
            there = await _config_there(client, params["reference"])
            if there and there != image.id:
                raise Refused(
                    f"{params['reference']} is another image in the registry.",
                    f"There it is {there}, and was built as {image.id}.",
                    "A version is never overwritten: release the next one.",
                    code="tag.elsewhere",
                )
            digest = ""
            for name in filter(None, (params["reference"], params.get("latest"))):
                if name != params["reference"]:
                    reference = parse_image(name)
                    await engine.tag(
                        image.id, reference.familiar.rpartition(":")[0], reference.tag or "latest"
                    )
                said = await self._push(ctx, engine, params, name)
                digest = digest or await self._read_back(client, name, said, image.id)
                ctx.say(f"✓ {name} is {digest}")
            return await self._published(client, params, engine)

    async def _published(
        self, client: RegistryClient, params: Mapping[str, Any], engine: Engine
    ) -> dict[str, Any]:
        reference = parse_image(params["reference"])
        digest = (await client.head(reference.repository, reference.tag or "latest")).digest
        public = await _anybody_may_pull(params["reference"], engine)
        return {"image_digest": digest, "pushed": True, "registry": reference.registry, "public": public}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Somebody may run it by now."""
        return "What was pushed stays in the registry."

    async def rehearse(self, place: Place, params: Mapping[str, Any]) -> tuple[str, list[Asked]]:
        """Each name: whether it means another image there, the push, and reading it back."""
        acts = [would("read", f"GET {_manifest(params['reference'])}")]
        for name in filter(None, (params["reference"], params.get("latest"))):
            if name != params["reference"]:
                acts.append(would("write", f"engine: tag {_BUILT} as {name}"))
            acts.append(would("write", f"engine: push {name}"))
            if name == params["reference"]:
                acts.append(would("read", f"GET {_manifest(name)}"))
        return "", [*acts, would("read", f"HEAD {_manifest(params['reference'])} without a login")]

    async def _push(self, ctx: Context, engine: Engine, params: Mapping[str, Any], name: str) -> str:
        reference = parse_image(name)
        repository = reference.familiar.rpartition(":")[0]

        def report(layer: str, current: int, total: int, word: str) -> None:
            if layer:
                ctx.progress(f"{reference.tag} {layer}", current, total, word, "" if total == 1 else "B")
            elif word:
                ctx.say(word)

        return await push(engine, repository, reference.tag or "latest", report, auth=self._auth(ctx, params))

    async def _read_back(self, client: RegistryClient, name: str, said: str, image: str) -> str:
        reference = parse_image(name)
        manifest = await client.manifest(reference.repository, reference.tag or "latest")
        config = manifest.config.digest if manifest.config is not None else ""
        if (said and manifest.digest != said) or config != image:
            raise Failed(
                f"{name} reads back as another image.",
                f"It is {manifest.digest}, and {said or image} was pushed.",
                "Somebody else may push there at the same time; look who, then `disinto resume`.",
                code="push.other",
            )
        return manifest.digest

    def _auth(self, ctx: Context, params: Mapping[str, Any]) -> dict[str, str] | None:
        secret = ctx.secrets.get(params.get("secret", ""), "")
        return {"username": params.get("user") or "x", "password": secret} if secret else None

    async def _registry(self, ctx: Context, params: Mapping[str, Any]) -> RegistryClient:
        host, auth = parse_image(params["reference"]).registry, self._auth(ctx, params)
        login: CredentialSource = DockerConfig.load()
        if auth is not None:
            login = StaticCredentials({host: Credential(auth["username"], Secret(auth["password"]))}, login)
        return await open_registry(host, await engine_of(ctx), login)


def _manifest(name: str) -> str:
    reference = parse_image(name)
    return f"{reference.registry}/v2/{reference.repository}/manifests/{reference.tag}"


async def _config_there(client: RegistryClient, name: str) -> str:
    """The image id that a name has in the registry, "" when it is not there."""
    reference = parse_image(name)
    try:
        manifest = await client.manifest(reference.repository, reference.tag or "latest")
    except BadInput as error:
        if error.code in ("image.missing", "image.repository"):
            return ""
        raise
    return manifest.config.digest if manifest.config is not None else manifest.digest


async def _anybody_may_pull(name: str, engine: Engine) -> bool:
    reference = parse_image(name)
    async with await open_registry(reference.registry, engine, NoCredentials()) as client:
        try:
            await client.head(reference.repository, reference.tag or "latest")
        except DisintoError:
            return False
    return True
