"""The versions of an instance: registry x images on this host x what ran here, and what each image is.

Every source may fail alone. What registries said is remembered on disk, so that a list can be shown at once and
without a network, with its age.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import using
from disinto_tui.adapters.registry_types import ImageInfo, Platform
from disinto_tui.adapters.version_cache import Listing, VersionCache
from disinto_tui.adapters.within import within
from disinto_tui.core.catalog import Catalog, Marks, Meta, Past, bytes_to_pull, count_versions, newest_in
from disinto_tui.core.errors import BadInput, DisintoError, Unavailable
from disinto_tui.core.image import ImageRef
from disinto_tui.core.version import sort_tags
from disinto_tui.runs.env import read_env
from disinto_tui.runs.history import Entry, history, known_good, last_good_before, left_behind, short
from disinto_tui.runs.pin import pinned_reference, repository_of

# What asks is imported where it asks: a list is painted from memory before that.
if TYPE_CHECKING:
    from disinto_tui.adapters.engine import Engine, LocalImage
    from disinto_tui.adapters.registry import RegistryClient
    from disinto_tui.adapters.registry_auth import CredentialSource
    from disinto_tui.runs.switch import Prepared

IN_FLIGHT = 16
"""Versions asked about at a time; the HTTP client falls to fewer when a registry says it is too many."""
FRESH_SECONDS = 60.0
"""A tag whose digest was seen less than this ago is not asked about again."""
LIST_SECONDS = 30.0
"""A registry that has not listed its tags by then counts as one that does not answer."""
_TITLE, _REVISION = "org.opencontainers.image.title", "org.opencontainers.image.revision"


@dataclass(frozen=True, slots=True)
class _Here:
    """What this host's engine said. `images` are the ids of the repository's tags, `ids` those of all images,
    `made_from` the ids that the running tags run."""

    platform: str
    images: Mapping[str, str]
    ids: frozenset[str]
    chains: frozenset[str]
    running: tuple[str, ...]
    made_from: Mapping[str, str] = field(default_factory=dict)


_NOWHERE = _Here("", {}, frozenset(), frozenset(), ())
_ODD = (ValueError, KeyError, TypeError)
"""What reading an answer that nobody foresaw may raise."""


class VersionSource:
    """Answers about the versions of one instance. Use it from one event loop; `close` ends its connections.

    `credentials` is asked for the registry's login instead of Docker's own store; `clock` gives unix seconds.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        credentials: CredentialSource | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._instance = instance
        self._credentials = credentials
        self._clock = clock
        self._repository: ImageRef | None = None
        self._cache: VersionCache | None = None
        self._client: RegistryClient | None = None
        self._engine: Engine | None = None
        self._here = _NOWHERE
        self._hearing = asyncio.Lock()
        self._heard = 0
        """How often the engine answered or failed to."""
        self._engine_error = ""
        self._down: DisintoError | None = None
        """Why the registry did not list its tags: until it is asked to again, nothing else is asked of it."""
        self._pin = ""
        self._history: list[Entry] = []
        self._known: dict[str, Meta] = {}

    async def close(self) -> None:
        """Close the connections to the registry and remember what was learned."""
        if self._cache is not None:
            self._cache.flush()
        if self._client is not None:
            await self._client.close()
            self._client = None

    # -- the list ----------------------------------------------------------------------------------------------

    async def remembered(self) -> Catalog | None:
        """The list as last heard, without a network and without waiting for the engine; None when there is none.

        Raises BadInput when `.env` or our own directory cannot be read.
        """
        await asyncio.to_thread(self._look)
        listing = await asyncio.to_thread(self._memory.listing)
        if listing is None:
            return None
        here = _as_remembered(listing) if self._engine is None else self._here
        return self._catalog(listing.tags, listing.at, here, None)

    async def asked(self, *, offline: bool = False) -> Catalog:
        """The list anew: the registry (not when `offline`) and the engine are asked, and each may be down.

        A registry that is down is `Catalog.error`, beside what is remembered and local; an engine that is down is
        `Catalog.engine_error`, beside what was here and ran when it was last seen. Raises BadInput when `.env` or
        our own directory cannot be read.
        """
        await asyncio.to_thread(self._look)
        asked, heard = await asyncio.gather(
            self._ask_registry(offline), self._hear_engine(anew=True), return_exceptions=True
        )
        for answer in (asked, heard):
            if isinstance(answer, BaseException) and not isinstance(answer, DisintoError):
                raise answer
        self._down = error = asked if isinstance(asked, DisintoError) else None
        if isinstance(asked, list):
            ordered: Sequence[str] = await asyncio.to_thread(sort_tags, set(asked))
            at = self._clock()
            self._memory.put_listing(ordered, at, list(self._here.images), self._here.running)
        else:
            listing = self._memory.listing()
            ordered, at = (listing.tags, listing.at) if listing else ((), 0.0)
        return replace(self._catalog(ordered, at, self._here, error), engine_error=self._engine_error)

    def entries(self, tag: str) -> list[Entry]:
        """What this instance did with a version, newest first."""
        return [entry for entry in self._history if self._tag_of(entry.reference) == tag]

    async def plan(self, tag: str, *, when_idle: float | None = None) -> Prepared:
        """The switch to a version of the list. Raises what `plan_switch` raises."""
        from disinto_tui.runs.switch import SwitchRequest, plan_switch

        return await plan_switch(SwitchRequest(self._instance, tag, when_idle=when_idle))

    async def plan_undo(self, *, when_idle: float | None = None) -> Prepared:
        """The way back to `Catalog.undo`. Raises what `plan_rollback` raises."""
        from disinto_tui.runs.rollback import plan_rollback

        return await plan_rollback(self._instance, when_idle=when_idle)

    # -- what a version is -------------------------------------------------------------------------------------

    def known(self, tag: str) -> Meta | None:
        """What is remembered of a version, nobody asked; None when nothing is."""
        found = self._known.get(tag)
        if found is None and self._cache is not None:
            seen = self._cache.digest(tag)
            info = self._cache.image(seen[0]) if seen else None
            if seen and info is not None:
                found = self._known[tag] = self._meta(tag, info, seen[1])
        return found

    async def details(
        self, tags: Sequence[str], *, offline: bool = False
    ) -> AsyncIterator[Mapping[str, Meta]]:
        """What versions are, in batches as the answers come, the first tags first.

        A tag whose meaning was seen a moment ago is not asked about again; of one seen earlier only the digest
        is (one HEAD); `offline` asks no registry at all, and one that did not list its tags is not asked either.
        What cannot be had is `Meta.error`, beside what is remembered. Closing the iterator cancels what is under
        way. Raises BadInput when `.env` cannot be read.
        """
        if self._repository is None:
            await asyncio.to_thread(self._look)
        await self._hear_engine()
        waiting = list(reversed(tags))
        done: asyncio.Queue[tuple[str, Meta] | Exception] = asyncio.Queue()

        async def ask() -> None:
            try:
                while waiting:
                    tag = waiting.pop()
                    done.put_nowait((tag, await self._detail(tag, offline)))
            except Exception as error:
                done.put_nowait(error)  # whoever iterates must hear of it and not wait for ever

        workers = [asyncio.create_task(ask()) for _ in range(min(IN_FLIGHT, len(waiting)))]
        left = len(waiting)
        try:
            while left:
                arrived = [await done.get()]
                while not done.empty():
                    arrived.append(done.get_nowait())
                batch = {}
                for item in arrived:
                    if isinstance(item, Exception):
                        raise item
                    batch[item[0]] = item[1]
                left -= len(arrived)
                self._known.update(batch)
                yield batch
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._memory.flush()

    async def _detail(self, tag: str, offline: bool) -> Meta:
        remembered, now = self.known(tag), self._clock()
        if (
            remembered is not None
            and (offline or now - remembered.at < FRESH_SECONDS)
            and not remembered.error
        ):
            return remembered
        if offline:
            return remembered or await self._local(tag, "")
        if self._down is not None:
            reason = f"{self._down.what} {self._down.why}"
        else:
            try:
                info = await self._learn(tag)
                meta = self._meta(tag, info, now)
                self._memory.put_image(info)
                self._memory.put_digest(tag, info.digest, now)
                return meta
            except DisintoError as error:
                reason = f"{error.what} {error.why}"
            except _ODD as error:
                reason = f"What the registry says of {tag} cannot be read. {type(error).__name__}: {error}."
        if remembered is not None:
            return replace(remembered, error=reason)
        return await self._local(tag, reason)

    async def _learn(self, tag: str) -> ImageInfo:
        """What the registry says of a tag; of one seen before it is asked for the digest only."""
        client, path = await self._registry(), self._of.repository
        seen = self._memory.digest(tag)
        if seen is None or self._memory.image(seen[0]) is None:
            return await self._read(client, path, tag)
        digest = (await client.head(path, tag)).digest
        return self._memory.image(digest) or await self._read(client, path, digest)

    async def _read(self, client: RegistryClient, path: str, reference: str) -> ImageInfo:
        """The image for this host's processor; when there is none, for the first one it was made for."""
        try:
            return await client.image_info(path, reference, self._here.platform or "linux/amd64")
        except BadInput as error:
            if error.code != "image.platform":
                raise
            unfit = error
        manifest = await client.manifest(path, reference)
        if manifest.config is not None:
            other = (await client.config(path, manifest.config.digest)).platform
        else:
            named = [item.platform for item in manifest.manifests if item.platform and item.platform.known]
            if not named:
                raise unfit  # attestations alone, or nothing at all
            other = named[0]
        return await client.image_info(path, manifest.digest, other)

    async def _local(self, tag: str, reason: str) -> Meta:
        """What the engine knows of an image whose registry does not answer."""
        image: LocalImage | None = None
        name = self._image_of(tag, self._here)
        if self._engine is not None and name:
            with contextlib.suppress(DisintoError, *_ODD):
                image = await self._engine.image(name)
        if image is None:
            return Meta(error=reason)
        digest = next((item.partition("@")[2] for item in image.digests), image.id)
        return Meta(
            digest=digest,
            created=image.created,
            revision=image.labels.get(_REVISION, ""),
            title=image.labels.get(_TITLE, ""),
            labels=image.labels,
            platforms=(self._here.platform,),
            fits=True,
            pull=0,
            volumes=image.volumes,
            error=reason,
        )

    def _meta(self, tag: str, info: ImageInfo, at: float) -> Meta:
        config, mine = info.config, self._here.platform
        # An image id is the configuration's digest, or with containerd's store the manifest's (observed).
        here = self._here.made_from.get(tag) or self._here.images.get(tag, "")
        moved = bool(here) and here not in (info.config_digest, info.manifest_digest, info.digest)
        fits = None
        if mine:
            fits = any(Platform.parse(mine).fit(platform) > 0 for platform in info.platforms)
        return Meta(
            digest=info.digest,
            created=config.created if config.created_at is not None else "",
            revision=config.labels.get(_REVISION, ""),
            title=config.labels.get(_TITLE, ""),
            labels=config.labels,
            platforms=tuple(str(platform) for platform in info.platforms),
            fits=fits,
            size=info.size,
            pull=bytes_to_pull(info.layers, config.diff_ids, set(self._here.chains)) if mine else -1,
            volumes=config.volumes,
            entrypoint=config.entrypoint,
            user=config.user,
            healthcheck=bool(config.healthcheck),
            at=at,
            here=here if moved else "",
        )

    # -- what is asked -----------------------------------------------------------------------------------------

    @property
    def _memory(self) -> VersionCache:
        if self._cache is None:
            raise RuntimeError("the list was not asked for yet")
        return self._cache

    @property
    def _of(self) -> ImageRef:
        if self._repository is None:
            raise RuntimeError("the list was not asked for yet")
        return self._repository

    def _look(self) -> None:
        """Read what lies on this disk: the pin, the repository, the history. Raises BadInput."""
        with using(self._instance.path):
            env = read_env(self._instance)
            repository = repository_of(self._instance, env)
        self._pin = env.get("AGENTS_IMAGE", "")
        if repository != self._repository:
            self._repository = repository
            self._cache = VersionCache(self._instance, repository.name)
            self._known.clear()
            self._down = None  # that was another registry, or another name in it
        self._history = history(self._instance)

    async def _ask_registry(self, offline: bool) -> list[str] | None:
        if offline:
            return None

        async def listed() -> list[str]:
            return await (await self._registry()).tags(self._of.repository)

        try:
            return await within(LIST_SECONDS, listed())
        except asyncio.TimeoutError:
            raise Unavailable(
                f"{self._of.registry} did not answer.",
                f"It was given {LIST_SECONDS:g} s to list the versions.",
                "Check the network, then try again; `--offline` shows what is remembered.",
                code="registry.timeout",
            ) from None

    async def _registry(self) -> RegistryClient:
        if self._client is None or self._client.host != self._of.registry:
            from disinto_tui.adapters.engine import Engine, find_endpoint
            from disinto_tui.runs.versions import open_registry

            engine = None
            with contextlib.suppress(DisintoError):
                engine = Engine(await find_endpoint())
            made = await open_registry(self._of.registry, engine, self._credentials)
            if self._client is None or self._client.host != self._of.registry:  # or another one was quicker
                self._client = made
        return self._client

    async def _hear_engine(self, *, anew: bool = False) -> None:
        """Ask the engine, once: again only `anew`, and not when it answered while one waited for it here."""
        before = self._heard
        async with self._hearing:
            if self._heard and not (anew and self._heard == before):
                return
            try:
                self._here, self._engine_error = await self._ask_engine(), ""
            except DisintoError as error:
                # What is not known is not gone: it is shown as it was, and nobody waits for it once more.
                self._engine, self._engine_error = None, f"{error.what} {error.why}"
                listing = await asyncio.to_thread(self._memory.listing)
                self._here = _as_remembered(listing) if listing is not None else _NOWHERE
            self._heard += 1
            self._known.clear()

    async def _ask_engine(self) -> _Here:
        from disinto_tui.adapters.engine import Engine, find_endpoint
        from disinto_tui.runs.health import container_state, service_of
        from disinto_tui.runs.observe import is_agents_service, version_of
        from disinto_tui.runs.project import find_project
        from disinto_tui.runs.versions import chains_here, local_tags

        engine = Engine(await find_endpoint())
        info, images, chains, found = await asyncio.gather(
            engine.info(),
            local_tags(engine, self._of),
            chains_here(engine),
            find_project(engine, self._instance),
        )
        ids = frozenset(str(item["Id"]) for item in await engine.images())
        running: dict[str, str] = {}
        for item in found.containers:
            live = container_state(item) not in ("exited", "created", "dead")
            if not live or not is_agents_service(service_of(item)):
                continue
            reference, made_from = str((item.get("Config") or {}).get("Image", "")), str(item["Image"])
            named = pinned_reference({"AGENTS_IMAGE": reference})
            # What runs from another repository is no version of this one, whatever its tag.
            if named is None or named.name == self._of.name or made_from in images.values():
                running.setdefault(version_of(await engine.image(made_from), reference), made_from)
        self._engine = engine
        return _Here(info.platform, images, ids, frozenset(chains), tuple(running), running)

    # -- putting it together -----------------------------------------------------------------------------------

    def _catalog(self, ordered: Sequence[str], at: float, here: _Here, error: DisintoError | None) -> Catalog:
        past = self._past()
        # What runs may be an image of another repository, and then its label names no version of this one.
        mine = {*here.images, *past, *(tag for tag in here.running if tag and self.entries(tag))}
        missing = mine - set(ordered)
        if missing:
            ordered = sort_tags([*ordered, *missing])
        newest = newest_in(ordered)
        pinned = pinned_reference({"AGENTS_IMAGE": self._pin})
        pinned_tag = (pinned.tag or "") if pinned is not None else ""
        marks = {}
        for tag in {*mine, *here.running, newest, pinned_tag} & set(ordered):
            image = self._image_of(tag, here)
            marks[tag] = Marks(
                local=tag in here.images,
                running=tag in here.running,
                pinned=tag == pinned_tag,
                newest=tag == newest,
                offline=bool(image),
                past=past.get(tag),
            )
        # Without a pin the way back is from what runs, as `rollback` sees it.
        current = self._pin or next((f"{self._of.name}:{tag}" for tag in here.running if tag), "")
        undo = last_good_before(self._history, current)
        return Catalog(
            self._of.name,
            ordered,
            count_versions(ordered),
            marks,
            at,
            error,
            (self._tag_of(undo.reference) or short(undo.reference)) if undo is not None else "",
        )

    def _image_of(self, tag: str, here: _Here) -> str:
        """The image a switch to the tag could use without a registry: that of its name, else that of a good start
        of it here, which carries a name of ours (`disinto-kept`). "" when there is none."""
        if tag in here.images:
            return here.images[tag] or tag
        images = (entry.image for entry in self.entries(tag) if entry.good and entry.image)
        return next((image for image in images if not here.ids or image in here.ids), "")

    def _past(self) -> dict[str, Past]:
        """The latest verdict on each version of this repository."""
        found: dict[str, Past] = {}
        for entry in known_good(self._history):
            tag = self._tag_of(entry.reference)
            if tag and tag not in found:
                outcome = "unverified" if entry.outcome == "unverified" else "good"
                found[tag] = Past(outcome, entry.at, by=entry.by, run=entry.run)  # type: ignore[arg-type]
        for reference, entry in left_behind(self._history).items():
            tag = self._tag_of(reference)
            if tag:
                if entry.outcome == "reverted":
                    found[tag] = Past("reverted", entry.at, entry.reason, entry.by, entry.run)
                else:
                    reason = f"Left for {short(entry.reference)}."
                    found[tag] = Past("left", entry.at, reason, entry.by, entry.run)
        return found

    def _tag_of(self, reference: str) -> str:
        """The tag of a reference of this repository, "" for any other."""
        found = pinned_reference({"AGENTS_IMAGE": reference})
        if found is None or self._repository is None or found.name != self._repository.name:
            return ""
        return found.tag or ""


def _as_remembered(listing: Listing) -> _Here:
    """What the engine said when it was last asked, as far as that was kept."""
    return replace(_NOWHERE, images=dict.fromkeys(listing.here, ""), running=listing.running)
