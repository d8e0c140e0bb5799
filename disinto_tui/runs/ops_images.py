"""Operations that publish an image that was built: named, pushed, read back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from disinto_tui.adapters.dockerconfig import DockerConfig
from disinto_tui.adapters.engine import Engine, LocalImage
from disinto_tui.adapters.engine_push import push
from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_auth import Credential, CredentialSource, NoCredentials, StaticCredentials
from disinto_tui.adapters.tape import Asked, would
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Refused, Unavailable
from disinto_tui.core.image import parse_image
from disinto_tui.core.redact import Secret
from disinto_tui.runs.ops_build import BUILT, built_image, engine_of, need_image
from disinto_tui.runs.runner import Context, Place
from disinto_tui.runs.versions import open_registry

_PUSH_PAUSES = (2.0, 5.0, 15.0)
"""Seconds before a push that broke off is tried again."""


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
        image = await need_image(ctx, engine)
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
        return "", [would("write", f"engine: tag {BUILT} as {name}") for name in self._names(params)]

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
        image = await need_image(ctx, engine)
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
                acts.append(would("write", f"engine: tag {BUILT} as {name}"))
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
            handed = Credential(auth["username"], Secret(auth["password"]), name=str(params["secret"]))
            login = StaticCredentials({host: handed}, login)
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
