"""Which versions there are: the registry's tags, what is local, what runs here; and resolving one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from disinto_tui.adapters.dockerconfig import DockerConfig
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_auth import CredentialSource
from disinto_tui.adapters.registry_types import ImageInfo
from disinto_tui.core.errors import BadInput, DisintoError, Unavailable
from disinto_tui.core.image import ImageRef, resolve_operator_input
from disinto_tui.core.version import TagKind, classify_tag, sort_tags


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


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version in the list. `kind` is release, pre-release or other."""

    tag: str
    kind: str
    local: bool = False
    running: bool = False
    pinned: bool = False
    newest: bool = False

    def to_json(self) -> dict[str, Any]:
        """The row as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VersionList:
    """The versions of a repository, newest first, other tags after them.

    `error` says why the registry's part is missing; the rest is then what is local.
    """

    repository: str
    rows: tuple[VersionRow, ...]
    error: DisintoError | None = None


def newest_of(tags: Sequence[str]) -> str:
    """The highest release of a list of tags; the highest pre-release when there is no release; else ""."""
    ordered = sort_tags(tags)
    for kind in (TagKind.RELEASE, TagKind.PRE_RELEASE):
        for tag in ordered:
            if classify_tag(tag) == kind:
                return tag
    return ""


async def resolve(
    repository: ImageRef,
    wanted: str,
    platform: str,
    *,
    credentials: CredentialSource | None = None,
) -> Resolved:
    """Resolve what an operator named (a version, a tag, a reference; "" is the newest release) to a digest.

    Raises BadInput `image.missing`, `image.platform`, `image.grammar`, `version.none` (the registry has no
    version at all), and what the registry client raises.
    """
    reference = resolve_operator_input(wanted, repository) if wanted else repository
    async with RegistryClient(reference.registry, credentials=credentials or DockerConfig.load()) as client:
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


async def newest_version(repository: ImageRef, *, timeout: float = 10) -> str:
    """The newest release in the registry; "" when it has none. Raises Unavailable, BadInput."""
    async with RegistryClient(repository.registry, credentials=DockerConfig.load()) as client:
        try:
            return newest_of(await asyncio.wait_for(client.tags(repository.repository), timeout))
        except asyncio.TimeoutError:
            raise Unavailable(
                f"{repository.registry} did not answer.",
                f"It was given {timeout:g} s to list the versions.",
                "Check the network, then try again.",
                code="registry.timeout",
            ) from None


async def list_versions(
    repository: ImageRef,
    *,
    engine: Engine | None,
    pinned: str = "",
    running: Sequence[str] = (),
    credentials: CredentialSource | None = None,
) -> VersionList:
    """Registry and local images in one list. Raises nothing for a registry that is down: the list says so.

    `credentials` is asked for the registry's login instead of Docker's own store.
    """
    tags: list[str] = []
    failure: DisintoError | None = None

    async def ask() -> list[str]:
        login = credentials or DockerConfig.load()
        async with RegistryClient(repository.registry, credentials=login) as client:
            return await client.tags(repository.repository)

    asked, local = await asyncio.gather(ask(), _local_tags(engine, repository), return_exceptions=True)
    if isinstance(asked, DisintoError):
        failure = asked
    elif isinstance(asked, BaseException):
        raise asked
    else:
        tags = asked
    here: set[str] = local if isinstance(local, set) else set()
    newest = newest_of(tags)
    rows = tuple(
        VersionRow(tag, classify_tag(tag).value, tag in here, tag in running, tag == pinned, tag == newest)
        for tag in sort_tags([*tags, *(here - set(tags))])
    )
    return VersionList(repository.name, rows, failure)


async def _local_tags(engine: Engine | None, repository: ImageRef) -> set[str]:
    if engine is None:
        return set()
    names = {repository.name, repository.familiar}
    found: set[str] = set()
    for image in await engine.images():
        for tag in image.get("RepoTags") or ():
            name, _, version = str(tag).rpartition(":")
            if name in names:
                found.add(version)
    return found
