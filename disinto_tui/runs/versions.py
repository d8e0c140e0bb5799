"""Versions of the agents image: resolving one, listing a repository, what of an image is here already."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from disinto_tui.adapters.dockerconfig import DockerConfig
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.host import is_loopback
from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_auth import CredentialSource
from disinto_tui.adapters.registry_types import ImageInfo
from disinto_tui.adapters.within import within
from disinto_tui.core.catalog import (
    Catalog,
    Marks,
    bytes_to_pull,
    chain_ids,
    count_versions,
    newest_of,
)
from disinto_tui.core.errors import BadInput, DisintoError, Unavailable
from disinto_tui.core.image import ImageRef, resolve_operator_input
from disinto_tui.core.version import sort_tags


@dataclass(frozen=True, slots=True)
class Resolved:
    """A version picked: the full reference with its tag, and the digest it stood for at that moment.

    `info` is None when only the engine was asked (the registry is down and the image is local).
    """

    reference: ImageRef
    digest: str
    info: ImageInfo | None

    @property
    def pin(self) -> str:
        """What is written to `.env`: the full reference."""
        return str(self.reference)


async def open_registry(
    host: str, engine: Engine | None, credentials: CredentialSource | None = None
) -> RegistryClient:
    """A client for a registry, with Docker's own logins when none are given, that speaks plain http where the engine
    does, since what the engine can pull from has to be one that can be asked."""
    insecure = () if engine is None or is_loopback(f"//{host}") else await engine.insecure_registries()
    return RegistryClient(host, credentials=credentials or DockerConfig.load(), insecure_hosts=insecure)


async def resolve(
    repository: ImageRef,
    wanted: str,
    platform: str,
    *,
    engine: Engine | None = None,
    credentials: CredentialSource | None = None,
) -> Resolved:
    """Resolve what an operator named (a version, a tag, a reference; "" is the newest release) to a digest.

    Raises BadInput `image.missing`, `image.platform`, `image.grammar`, `version.none` (the registry has no
    version at all), and what the registry client raises.
    """
    reference = resolve_operator_input(wanted, repository) if wanted else repository
    async with await open_registry(reference.registry, engine, credentials) as client:
        if not wanted:
            newest = newest_of(await client.tags(repository.repository))
            if not newest:
                raise BadInput(
                    f"{repository.name} has no version yet.",
                    "The registry lists no tag like v1.2.3 there.",
                    "Name a tag with --version, or check `agents_image` in `[factory]`.",
                    code="version.none",
                )
            reference = repository.with_tag(newest)
        asked = reference.digest or reference.tag or "latest"
        info = await client.image_info(reference.repository, asked, platform)
    return Resolved(
        reference if reference.tag or reference.digest else reference.with_tag("latest"), info.digest, info
    )


async def newest_version(repository: ImageRef, *, engine: Engine | None = None, timeout: float = 10) -> str:
    """The newest release in the registry; "" when it has none. Raises Unavailable, BadInput."""
    async with await open_registry(repository.registry, engine) as client:
        try:
            return newest_of(await within(timeout, client.tags(repository.repository)))
        except asyncio.TimeoutError:
            raise Unavailable(
                f"{repository.registry} did not answer.",
                f"It was given {timeout:g} s to list the versions.",
                "Check the network, then try again.",
                code="registry.timeout",
            ) from None


async def registry_tags(
    repository: ImageRef, engine: Engine | None, credentials: CredentialSource | None = None
) -> list[str]:
    """Every tag of the repository, as the registry orders them. Raises what the registry client raises."""
    async with await open_registry(repository.registry, engine, credentials) as client:
        return await client.tags(repository.repository)


async def local_tags(engine: Engine, repository: ImageRef) -> dict[str, str]:
    """The repository's tags that are on this host, each with its image id. Raises Unavailable."""
    names = {repository.name, repository.familiar}
    found: dict[str, str] = {}
    for image in await engine.images():
        for tag in image.get("RepoTags") or ():
            name, _, version = str(tag).rpartition(":")
            if name in names:
                found[version] = str(image["Id"])
    return found


async def chains_here(engine: Engine) -> set[str]:
    """The chain ids of all layers on this host: what a pull will not fetch again. Raises Unavailable."""
    return {chain for layers in set(await engine.layers()) for chain in chain_ids(layers)}


def pull_bytes(info: ImageInfo, here: set[str]) -> int:
    """Bytes a pull of the image would fetch, with the chain ids `here` on this host."""
    return bytes_to_pull(info.layers, info.config.diff_ids, here)


async def list_versions(
    repository: ImageRef,
    *,
    engine: Engine,
    pinned: str = "",
    credentials: CredentialSource | None = None,
) -> Catalog:
    """Registry and local images in one list, for an instance that is yet to be.

    Neither a registry nor an engine that is down is raised: the list holds what the other one knows, and the
    registry's error. `credentials` is asked for the registry's login instead of Docker's own store.
    """
    asked, local = await asyncio.gather(
        registry_tags(repository, engine, credentials), local_tags(engine, repository), return_exceptions=True
    )
    for answer in (asked, local):
        if isinstance(answer, BaseException) and not isinstance(answer, DisintoError):
            raise answer
    tags = asked if isinstance(asked, list) else []
    here = set(local) if isinstance(local, dict) else set()
    ordered = sort_tags({*tags, *here})
    newest = newest_of(tags)
    marks = {
        tag: Marks(local=tag in here, pinned=tag == pinned, newest=tag == newest, offline=tag in here)
        for tag in {*here, newest, pinned} & set(ordered)
    }
    return Catalog(
        repository.name,
        ordered,
        count_versions(ordered),
        marks,
        time.time() if isinstance(asked, list) else 0.0,
        asked if isinstance(asked, DisintoError) else None,
    )
