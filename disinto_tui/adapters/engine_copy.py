"""Copy a directory of one container into a volume, and compare the two, through the engine's archive streams.

No program of any image is executed: the streams are tar, with owners, modes and times, and they work on containers that
do not run. So a Forgejo that is stopped is copied whole, whatever its image holds.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.core.errors import Failed

Manifest = Mapping[str, tuple[Any, ...]]
"""By relative path: kind, mode, owner, group, size, and the content's SHA-256 or the link's target."""
HELPER_LABEL = "io.disinto.helper"
_MOUNTED = "/disinto-copy"


class _Stream:
    """An iterator of byte chunks as a file to be read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, b"" at the end."""
        parts, have = [self._rest], len(self._rest)
        while size < 0 or have < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        self._rest = data[size:] if size >= 0 else b""
        return data[:size] if size >= 0 else data


def _manifest(chunks: Iterator[bytes]) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    with tarfile.open(fileobj=_Stream(chunks), mode="r|") as tar:  # type: ignore[call-overload]  # read is enough
        for member in tar:
            # The top directory has the name that it was asked for under; what is in it is the same.
            path = member.name.strip("/").partition("/")[2]
            about = member.linkname if member.islnk() or member.issym() else ""
            if member.islnk():
                about = about.strip("/").partition("/")[2]
            if member.isreg():
                content, file = hashlib.sha256(), tar.extractfile(member)
                while file is not None and (block := file.read(1 << 20)):
                    content.update(block)
                about = content.hexdigest()
            found[path] = (member.type, member.mode, member.uid, member.gid, member.size, about)
    return found


async def manifest(engine: Engine, container: str, path: str) -> Manifest | None:
    """What is at a path of a container; None when there is nothing. Raises Unavailable, Failed."""

    def ask(_: Any) -> Manifest | None:
        import docker.errors

        client = engine.fresh_client()
        try:
            chunks, _stat = client.get_archive(container, path)
            return _manifest(iter(chunks))
        except docker.errors.NotFound:
            return None
        finally:
            client.close()

    return await engine.call(ask)


async def volume_exists(engine: Engine, name: str) -> bool:
    """Whether a volume of that name is there."""
    found = await engine.call(lambda client: client.volumes(filters={"name": name})["Volumes"] or ())
    return any(item["Name"] == name for item in found)


async def volume_labels(engine: Engine, name: str) -> Mapping[str, str]:
    """The labels of a volume, {} when it is not there."""
    found = await engine.call(lambda client: client.volumes(filters={"name": name})["Volumes"] or ())
    return next((item.get("Labels") or {} for item in found if item["Name"] == name), {})


async def make_volume(engine: Engine, name: str, labels: Mapping[str, str]) -> None:
    """Make a named volume. Raises Failed."""
    await engine.call(lambda client: client.create_volume(name=name, labels=dict(labels)))


async def remove_volume(engine: Engine, name: str) -> None:
    """Remove a volume that nothing uses. Raises Failed when something does."""
    await engine.call(lambda client: client.remove_volume(name))


async def remove_helpers(engine: Engine, volume: str) -> None:
    """Remove the helpers that a copy which was killed left on a volume: they would hold it. Raises Failed."""

    def ask(client: Any) -> None:
        filters = {"label": f"{HELPER_LABEL}=copy", "volume": volume}
        for item in client.containers(all=True, filters=filters):
            client.remove_container(item["Id"], v=True, force=True)

    await engine.call(ask)


class VolumeHelper:
    """A container that is made and never started, with a volume mounted: the way into the volume.

    `async with VolumeHelper(engine, image, volume) as helper`; the container is removed at the end.
    """

    def __init__(self, engine: Engine, image: str, volume: str) -> None:
        self._engine = engine
        self._image = image
        self._volume = volume
        self._id = ""

    async def __aenter__(self) -> VolumeHelper:
        def make(client: Any) -> str:
            # nocopy: an empty volume is not to be filled with what the image has at the path.
            host = client.create_host_config(
                mounts=[
                    {
                        "Target": _MOUNTED,
                        "Source": self._volume,
                        "Type": "volume",
                        "VolumeOptions": {"NoCopy": True},
                    }
                ]
            )
            made = client.create_container(
                self._image, ["true"], host_config=host, labels={HELPER_LABEL: "copy"}, network_disabled=True
            )
            return str(made["Id"])

        self._id = await self._engine.call(make)
        return self

    async def __aexit__(self, *_: object) -> None:
        # Its own anonymous volumes (of the image's VOLUMEs) go with it; the named one stays.
        await self._engine.call(lambda client: client.remove_container(self._id, v=True, force=True))

    async def manifest(self) -> Manifest:
        """What is in the volume."""
        return await manifest(self._engine, self._id, _MOUNTED) or {}

    async def fill_from(self, container: str, path: str) -> None:
        """Put everything that is at a path of a container into the volume. Raises Failed, Unavailable."""

        def copy(_: Any) -> bool:
            source, target = self._engine.fresh_client(), self._engine.fresh_client()
            target.timeout = None  # the engine answers when all of it is written
            try:
                chunks, _stat = source.get_archive(container, f"{path.rstrip('/')}/.")
                return bool(target.put_archive(self._id, _MOUNTED, _given(chunks)))
            finally:
                source.close()
                target.close()

        if not (await self._engine.call(copy) and await self._engine.call(self._top(container, path))):
            raise Failed(
                f"The data at {path} could not be copied.",
                "The engine did not take the copy.",
                "Look at its log; the data is where it was.",
                code="adopt.copy",
            )

    def _top(self, container: str, path: str) -> Callable[[Any], bool]:
        """The directory itself gets the owner and the rights that it has there: the engine leaves those of a mount's
        top alone, and a service that is not root could write nothing new."""

        def give(_: Any) -> bool:
            source, target = self._engine.fresh_client(), self._engine.fresh_client()
            try:
                chunks, _stat = source.get_archive(container, path)
                with tarfile.open(fileobj=_Stream(iter(chunks)), mode="r|") as tar:  # type: ignore[call-overload]
                    top = next(iter(tar))
                chunks.close()
                top.name, top.pax_headers = _MOUNTED.lstrip("/"), {}
                return bool(target.put_archive(self._id, "/", top.tobuf() + tarfile.NUL * 1024))
            finally:
                source.close()
                target.close()

        return give


def _given(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield from chunks
