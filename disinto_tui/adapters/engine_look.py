"""Looking into images, containers and volumes without starting anything.

What an image carries is read from a container that is made, never started, and removed again, volumes included: the
engine has no other way to list an image's files (`docker create` and `docker cp` do the same).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from io import RawIOBase
from typing import TYPE_CHECKING, Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.host import is_local
from disinto_tui.adapters.tape import probing
from disinto_tui.core.shadow import Content, Tree

if TYPE_CHECKING:
    import tarfile

LOOK_LABEL = "io.disinto.look"
"""On containers that exist only to be looked into; the value is when they were made (unix seconds)."""
LOOK_SECONDS = 120
"""Older ones are leftovers of a look that was killed."""
_HASHED = 1 << 20
"""Files up to this size are told apart by their content, larger ones by size and time."""
_MOST_FILES = 20_000
_MOST_BYTES = 256 << 20
_WALK_SECONDS = 1.0


class _Stream(RawIOBase):
    """The chunks of an answer as a file, for `tarfile`."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""
        self.taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:  # `tarfile` asks for blocks, always with a size
        while len(self._rest) < size:
            piece = next(self._chunks, b"")
            if not piece:
                break
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        self.taken += len(data)
        return data


async def trees(engine: Engine, image: str, targets: Sequence[str]) -> dict[str, Tree]:
    """What an image (reference or id) has at some paths. {} for no paths, or when it is not here.

    Raises Unavailable, Failed.
    """
    if not targets:
        return {}

    def ask(client: Any) -> dict[str, Tree]:
        import docker.errors

        try:
            made = client.create_container(
                image, command=["-"], labels={LOOK_LABEL: f"{time.time():.0f}"}, network_disabled=True
            )["Id"]
        except docker.errors.NotFound:
            return {}
        try:
            return {target: _tree(client, made, target) for target in targets}
        finally:
            client.remove_container(made, v=True, force=True)

    def probe(client: Any) -> dict[str, Tree]:
        with probing():  # what is made is removed again, so a dry run may do it; said in the thread that asks
            return ask(client)

    return await engine.call(probe)


def _tree(client: Any, container: str, target: str) -> Tree:
    import tarfile  # 10 ms, and a switch that finds nothing to ask for needs none of it

    import docker.errors

    try:
        chunks, _ = client.get_archive(container, target)
    except docker.errors.NotFound:
        return Tree()
    except docker.errors.APIError as error:
        # A path below a file: the engine calls it "not a directory" instead of missing (observed, 20.10).
        if "not a directory" in str(error):
            return Tree()
        raise
    files: dict[str, str] = {}
    kind = "directory"
    with contextlib.closing(chunks), tarfile.open(fileobj=_Stream(iter(chunks)), mode="r|") as archive:
        for number, item in enumerate(archive):
            inner = item.name.strip("/").partition("/")[2]
            if number == 0 and not item.isdir():
                kind = "file"
            if not item.isdir():
                files[inner] = _mark(archive, item)
            if len(files) >= _MOST_FILES:
                break
    return Tree(kind, files)  # type: ignore[arg-type]


def _mark(archive: tarfile.TarFile, item: tarfile.TarInfo) -> str:
    if not item.isfile():
        return f"{item.type!r}:{item.linkname}"
    if item.size > _HASHED:
        return f"{item.size}:{item.mtime:.0f}"
    content = archive.extractfile(item)
    data = content.read() if content is not None else b""
    return hashlib.sha256(data).hexdigest()[:24]


async def written(engine: Engine, container: str) -> list[str]:
    """Files that a container wrote into its own layer: added or changed, outside every mount; sorted.

    Directories that hold nothing new of their own are left out. [] when it is gone. Raises Unavailable, Failed.
    """

    def ask(client: Any) -> list[str]:
        import docker.errors

        try:
            found = client.diff(container) or ()
        except docker.errors.NotFound:
            return []
        paths = sorted(str(item["Path"]) for item in found if item.get("Kind") in (0, 1))
        parents = {path.rpartition("/")[0] for path in paths}
        return [path for path in paths if path not in parents]

    return await engine.call(ask)


async def volume_content(engine: Engine, volume: str, container: str, target: str) -> Content | None:
    """What lies in a volume that a container has mounted at `target`; None when it is gone.

    Read from the engine's own directory where that is on this host and readable, else through the container. Looking
    is given up after a second, or a quarter of a GB through the container. Raises Unavailable, Failed.
    """

    def ask(client: Any) -> Content | None:
        import docker.errors

        try:
            place = str(client.inspect_volume(volume).get("Mountpoint", ""))
            if is_local(engine.endpoint) and place and os.access(place, os.R_OK | os.X_OK):
                return _walked(place)
            chunks, _ = client.get_archive(container, target)
        except docker.errors.NotFound:
            return None
        return _streamed(chunks)

    return await engine.call(ask)


def _walked(place: str) -> Content:
    until = time.monotonic() + _WALK_SECONDS
    size, files, newest, newest_at = 0, 0, "", 0.0
    for root, _, names in os.walk(place):
        for name in names:
            path = os.path.join(root, name)  # noqa: PTH118  # a Path for each of many files is slow
            try:
                found = os.lstat(path)
            except OSError:
                continue
            size, files = size + found.st_size, files + 1
            if found.st_mtime >= newest_at:
                newest, newest_at = os.path.relpath(path, place), found.st_mtime
        if time.monotonic() > until:
            return Content(size, files, newest, newest_at, whole=False)
    return Content(size, files, newest, newest_at)


def _streamed(chunks: Any) -> Content:
    import tarfile

    size, files, newest, newest_at = 0, 0, "", 0.0
    stream = _Stream(iter(chunks))
    with contextlib.closing(chunks), tarfile.open(fileobj=stream, mode="r|") as archive:
        for item in archive:
            if not item.isdir():
                size, files = size + item.size, files + 1
                if item.mtime >= newest_at:
                    newest, newest_at = item.name.partition("/")[2], float(item.mtime)
            if stream.taken > _MOST_BYTES:
                return Content(size, files, newest, newest_at, whole=False)
    return Content(size, files, newest, newest_at)


async def looks_left(engine: Engine) -> list[str]:
    """Containers of ours that a killed look left behind. Raises Unavailable."""
    found = []
    for item in await engine.call(
        lambda client: list(client.containers(all=True, filters={"label": LOOK_LABEL}))
    ):
        made = str((item.get("Labels") or {}).get(LOOK_LABEL, ""))
        if made.isdigit() and time.time() - int(made) > LOOK_SECONDS:
            found.append(str(item["Id"]))
    return found
