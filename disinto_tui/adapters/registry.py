"""The registry client: OCI distribution over one keep-alive connection pool.

Lists tags, resolves references to digests, reads what an image is without pulling it. Every document is
checked against its digest before it is read. Tested against real docker-registry processes (open, htpasswd,
token server) and a stub for what they do not do: pages, GHCR's order, loops, rate limits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from urllib.parse import urljoin

from disinto_tui.adapters import registry_errors as errors
from disinto_tui.adapters.http import Policy, Response
from disinto_tui.adapters.registry_auth import CredentialSource, DeniedError, NoCredentials
from disinto_tui.adapters.registry_tags import nearest_tags, next_link, tags_in
from disinto_tui.adapters.registry_types import (
    DIGEST,
    MANIFEST_TYPES,
    SCHEMA_ONE,
    Descriptor,
    ImageConfig,
    ImageInfo,
    Manifest,
    Platform,
    SchemaOneError,
    choose,
    digest_of,
    parse_config,
    parse_manifest,
    platforms_of,
)
from disinto_tui.adapters.registry_wire import Wire
from disinto_tui.adapters.tape import probing
from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.core.image import DEFAULT_REGISTRY, ImageRef

PAGE = 1000
"""Tags asked for per page; a registry may give fewer and then says where the next page is."""
MAX_PAGES = 2000
MAX_TAGS = 500_000
_EMPTY_PAGES = 20
_LIST_SECONDS = 300.0
_MANIFEST_BYTES = 4 << 20
_CONFIG_BYTES = 8 << 20
_TAGS_BYTES = 64 << 20


class RegistryClient:
    """One registry, as an async context manager.

    `host` is what stands before the first slash of an image's full name (`ghcr.io`, `docker.io`,
    `127.0.0.1:5000`). Plain http is spoken only to this machine and to hosts in `insecure_hosts`: names
    (with port) or networks (`10.0.0.0/8`) as the engine lists them, for which also any TLS certificate is
    accepted, like the engine does. Names of repositories and references are checked against the grammar
    before anything is sent.

    Every method raises, besides what it says itself: Unavailable `registry.dns|refused|route|tls|proxy|
    timeout|broken|too-large|redirect` (no answer), `registry.denied` (401 or 403, with the cure),
    `registry.busy` (429), `registry.failing` (5xx), `registry.html`, `registry.answer`, `registry.token`;
    Refused `registry.realm`; BadInput `image.grammar` (the constructor too, for `host`).
    """

    def __init__(
        self,
        host: str,
        *,
        credentials: CredentialSource | None = None,
        insecure_hosts: Collection[str] = (),
        policy: Policy | None = None,
    ) -> None:
        self.host = host
        self._check("any/name", "")
        self._wire = Wire(host, credentials or NoCredentials(), insecure_hosts, policy)

    async def __aenter__(self) -> RegistryClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, for an owner that outlives one `async with`."""
        await self._wire.close()

    async def ping(self) -> str:
        """Whether a registry answers there; returns what it asks for: "" (open), "basic" or "bearer"."""
        return await self._wire.ping()

    async def tags(self, repository: str) -> list[str]:
        """All tags of a repository, in the registry's order (bytewise, or oldest first on GHCR: sort them).

        Pages are followed through the Link header, on the same host only; text that is no tag is dropped.
        Raises BadInput `image.repository` when there is no such repository, Unavailable `registry.paging`
        when pages repeat, lead elsewhere, or exceed MAX_PAGES or MAX_TAGS.
        """
        repository = self._name(repository)
        answer = await self._wire.read(
            f"/v2/{repository}/tags/list?n={PAGE}", repository, max_bytes=_TAGS_BYTES
        )
        if answer.status == 404:
            await self._wire.ping()  # or it is no registry at all
            raise errors.missing_repository(self.host, repository, await self._wire.has_login())
        return await self._pages(repository, answer)

    async def head(self, repository: str, reference: str) -> Descriptor:
        """Digest, media type and size of what a tag or digest stands for, without fetching it.

        A HEAD does not count for Docker Hub's pull limit. Raises BadInput `image.missing` with the nearest
        tags, `image.repository`, `image.schema1`.
        """
        repository = self._name(repository, reference)
        path = f"/v2/{repository}/manifests/{reference}"
        answer = await self._wire.read(path, repository, method="HEAD", accept=MANIFEST_TYPES)
        if answer.status == 404:
            raise await self._missing(repository, reference)
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        digest = answer.headers.get("docker-content-digest", "")
        size = answer.headers.get("content-length", "")
        if SCHEMA_ONE in kind:
            raise errors.schema_one(self._full(repository, reference))
        if not DIGEST.match(digest) or kind not in MANIFEST_TYPES or not size.isdecimal():
            return (await self.manifest(repository, reference)).descriptor
        if DIGEST.match(reference) and digest != reference:
            raise errors.tampered(self.host, self._full(repository, reference))
        return Descriptor(digest, kind, int(size))

    async def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest or index a tag or digest stands for, its digest verified.

        Raises BadInput `image.missing`, `image.repository`, `image.schema1`, `image.kind`; Unavailable
        `registry.digest`.
        """
        repository = self._name(repository, reference)
        name = self._full(repository, reference)
        answer = await self._wire.read(
            f"/v2/{repository}/manifests/{reference}",
            repository,
            accept=MANIFEST_TYPES,
            max_bytes=_MANIFEST_BYTES,
        )
        if answer.status == 404:
            raise await self._missing(repository, reference)
        kind = answer.headers.get("content-type", "")
        if SCHEMA_ONE in kind:  # converted: its digest is another one
            raise errors.schema_one(name)
        digest = answer.headers.get("docker-content-digest", "")
        if DIGEST.match(reference):
            digest = reference
        elif not DIGEST.match(digest):
            digest = digest_of(answer.body)
        if digest_of(answer.body, digest) != digest:
            raise errors.tampered(self.host, name)
        try:
            return parse_manifest(answer.body, kind, digest)
        except SchemaOneError:
            raise errors.schema_one(name) from None
        except ValueError as error:
            if answer.is_html:
                raise errors.unexpected(self.host, answer) from None
            raise errors.unreadable(self.host, name, _reason(error)) from None

    async def config(
        self, repository: str, digest: str, platform: Platform | str | None = None
    ) -> ImageConfig:
        """The configuration blob with that digest, verified. It never changes: cache it for ever.

        With `platform`, an image that cannot run there is BadInput `image.platform`. Raises BadInput
        `image.missing`, `image.kind` (not an image); Unavailable `registry.digest`.
        """
        repository = self._name(repository, digest)
        name = self._full(repository, digest)
        answer = await self._wire.read(
            f"/v2/{repository}/blobs/{digest}", repository, max_bytes=_CONFIG_BYTES
        )
        if answer.status == 404:
            raise errors.missing_image(self.host, repository, digest, ())
        if digest_of(answer.body, digest) != digest:
            raise errors.tampered(self.host, name)
        try:
            config = parse_config(answer.body)
        except ValueError as error:
            raise errors.not_an_image(name, _reason(error)) from None
        wanted = _platform(platform)
        if wanted is not None and not wanted.fit(config.platform):
            raise errors.wrong_platform(name, wanted, [config.platform])
        return config

    async def image_info(self, repository: str, reference: str, platform: Platform | str) -> ImageInfo:
        """What an image is, for one platform: two requests, three when there is an index.

        Raises BadInput `image.platform` naming the platforms there are, and what `manifest` and `config`
        raise.
        """
        repository = self._name(repository, reference)
        name = self._full(repository, reference)
        wanted = _platform(platform)
        if wanted is None:
            raise ValueError("a platform is needed")
        top = image = await self.manifest(repository, reference)
        platforms: tuple[Platform, ...] = ()
        if top.is_index:
            platforms = platforms_of(top.manifests)
            entry = choose(top.manifests, wanted)
            if entry is None:
                raise errors.wrong_platform(name, wanted, platforms)
            image = await self.manifest(repository, entry.digest)
        if image.config is None:
            raise errors.not_an_image(name, "it has an index where an image should be")
        config = await self.config(repository, image.config.digest)
        if not wanted.fit(config.platform):
            raise errors.wrong_platform(name, wanted, [config.platform])
        return ImageInfo(
            digest=top.digest,
            manifest_digest=image.digest,
            platforms=platforms or (config.platform,),
            layers=tuple((layer.digest, max(layer.size, 0)) for layer in image.layers),
            config_digest=image.config.digest,
            config=config,
        )

    async def can_push(self, repository: str) -> bool:
        """Whether we may push there. Tried by opening an upload and dropping it at once: no image changes.

        The dropping takes the right to delete (docker-registry 2.8.2, observed; GHCR answers 405): without
        it the empty upload stays until the registry purges it. No repository comes into being by it.
        """
        repository = self._name(repository)
        scope = f"repository:{repository}:pull,push"
        with probing():
            return await self._may_begin(repository, scope)

    async def _may_begin(self, repository: str, scope: str) -> bool:
        try:
            answer = await self._wire.send("POST", f"/v2/{repository}/blobs/uploads/", scope, retry=True)
        except DeniedError:
            return False
        if answer.status in {401, 403, 405}:
            return False
        if answer.status not in {201, 202}:
            raise errors.unexpected(self.host, answer, errors.words_of(answer))
        location = self._wire.own(urljoin(answer.url, answer.headers.get("location", "")))
        if location and location != answer.url:
            with contextlib.suppress(DisintoError, DeniedError):
                await self._wire.send("DELETE", location, f"repository:{repository}:delete", retry=False)
        return True

    # -- tags --------------------------------------------------------------------------------------------

    async def _pages(self, repository: str, answer: Response) -> list[str]:
        import asyncio

        loop = asyncio.get_running_loop()
        until = loop.time() + _LIST_SECONDS
        found: dict[str, None] = {}
        seen: set[str] = set()
        empty = 0
        while True:
            before = len(found)
            try:
                size, tags = tags_in(answer.json())
            except ValueError as error:
                if answer.is_html:
                    raise errors.unexpected(self.host, answer) from None
                raise errors.unreadable(self.host, repository, _reason(error)) from None
            found.update(dict.fromkeys(tags))
            link = next_link(answer.headers.get("link", ""))
            if not link:
                return list(found)
            empty = empty + 1 if len(found) == before else 0
            url = self._wire.own(urljoin(answer.url, link))
            if not url:
                raise errors.paging(self.host, "The next page is said to be on another host.")
            if url in seen or empty > _EMPTY_PAGES or (size and len(found) == before):
                raise errors.paging(self.host, "Its pages repeat themselves.")
            if len(seen) >= MAX_PAGES or len(found) > MAX_TAGS:
                raise errors.paging(self.host, f"There are more than {len(found)} versions.")
            if loop.time() > until:
                raise errors.paging(self.host, f"It took longer than {_LIST_SECONDS:.0f} s.")
            seen.add(url)
            answer = await self._wire.read(url, repository, max_bytes=_TAGS_BYTES)
            if answer.status == 404:
                raise errors.paging(self.host, "A page it named is not there.")

    async def _missing(self, repository: str, reference: str) -> BadInput:
        """A 404 for a manifest: only the tag list tells a missing tag from a missing repository."""
        nearest: list[str] = []
        try:
            tags = await self.tags(repository)
        except BadInput as error:
            return error
        except DisintoError:
            pass
        else:
            nearest = [] if DIGEST.match(reference) else nearest_tags(reference, tags)
        return errors.missing_image(self.host, repository, reference, nearest)

    # -- names -------------------------------------------------------------------------------------------

    def _name(self, repository: str, reference: str = "") -> str:
        """The repository's path in the API, after the grammar was checked."""
        if self.host == DEFAULT_REGISTRY and "/" not in repository:
            repository = f"library/{repository}"
        self._check(repository, reference)
        return repository

    def _check(self, repository: str, reference: str) -> None:
        tag, digest = (None, reference) if ":" in reference else (reference or None, None)
        try:
            ImageRef(self.host, repository, tag, digest)
        except ValueError:
            raise BadInput(
                "That is not the name of an image.",
                f"`{self._full(repository, reference)[:200]!a}` does not follow the grammar of image names.",
                "Correct it and try again.",
                code="image.grammar",
            ) from None

    def _full(self, repository: str, reference: str) -> str:
        mark = "" if not reference else "@" if ":" in reference else ":"
        return f"{self.host}/{repository}{mark}{reference}"


def _platform(given: Platform | str | None) -> Platform | None:
    return Platform.parse(given) if isinstance(given, str) else given


def _reason(error: ValueError) -> str:
    return "it is not JSON" if type(error).__name__ == "JSONDecodeError" else str(error)
