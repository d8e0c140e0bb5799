"""Looking into images, containers and volumes without changing anything.

What an image carries is read from a container that is made, never started, and removed again, volumes included: the
engine has no other way to list an image's files (`docker create` and `docker cp` do the same).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.host import is_local
from disinto_tui.adapters.tape import probing
from disinto_tui.core.shadow import Attached, Content, Tree

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
_MOST_ASKED = 60
_GO_DIRECTORY = 1 << 31
"""The bit of a directory in Go's file modes, which the engine's answers carry."""


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
        # The parent of what is gone is a directory, too.
        parents = {str(item["Path"]).rpartition("/")[0] for item in found}
        return [path for path in paths if path not in parents]

    return await engine.call(ask)


def may_be_read(engine: Engine, inspect: Mapping[str, Any]) -> bool:
    """Whether files of a container may be read through the engine without a change to the host: it mounts everything
    the container has for that, and makes a directory where the source of a bind is missing (observed, 20.10: a file
    that was moved away came back as a directory). Where nobody can see whether one is missing, it may not."""
    made = _made_sources(inspect)
    return all(Path(source).exists() for source in made) if is_local(engine.endpoint) else not made


def missing_sources(engine: Engine, inspect: Mapping[str, Any]) -> list[str]:
    """Paths of the host that a container mounts and that are not there, as far as this host can see."""
    made = _made_sources(inspect) if is_local(engine.endpoint) else []
    return [path for path in made if not Path(path).exists()]


def _made_sources(inspect: Mapping[str, Any]) -> list[str]:
    """The bind sources that the engine makes as directories where they are missing."""
    host = inspect.get("HostConfig") or {}
    sources = [str(bind).partition(":")[0] for bind in host.get("Binds") or ()]
    sources += [
        str(item.get("Source", ""))
        for item in host.get("Mounts") or ()
        if item.get("Type") == "bind" and (item.get("BindOptions") or {}).get("CreateMountpoint")
    ]
    return [source for source in sources if source.startswith("/")]  # the others are names of volumes


async def without_directories(engine: Engine, inspect: Mapping[str, Any], paths: Sequence[str]) -> list[str]:
    """Those of the paths in a container that are no directory: the engine's list of changes does not tell an empty
    directory, or one that was only touched, from a file. Many are not asked about (a tree has files in it), and none
    where reading would change something. Raises Unavailable, Failed.
    """
    if len(paths) > _MOST_ASKED or not may_be_read(engine, inspect):
        return list(paths)

    def ask(client: Any) -> list[str]:
        return [path for path in paths if not _is_directory(client, str(inspect["Id"]), path)]

    return await engine.call(ask)


def _is_directory(client: Any, container: str, path: str) -> bool:
    import docker.errors

    try:
        chunks, about = client.get_archive(container, path)
    except docker.errors.APIError:
        return False  # gone meanwhile, or not to be looked at: then what is known stands
    chunks.close()
    return bool(int(about.get("mode", 0)) & _GO_DIRECTORY)


async def adrift(engine: Engine) -> dict[str, Content]:
    """Anonymous volumes that no container uses and that have something in them, the newest content first, with their
    names. Looked into only where the engine's directory is on this host and readable, at the newest ones, for a second
    in all. Raises Unavailable, Failed.
    """
    if not is_local(engine.endpoint):
        return {}

    def ask(client: Any) -> dict[str, Content]:
        listed = client.volumes(filters={"dangling": True})["Volumes"] or ()
        places = {
            str(item["Name"]): str(item.get("Mountpoint", ""))
            for item in sorted(listed, key=lambda item: str(item.get("CreatedAt", "")), reverse=True)
            if Attached("", str(item["Name"])).anonymous
        }
        found, until = {}, time.monotonic() + _WALK_SECONDS
        for name, place in list(places.items())[:_MOST_ASKED]:
            left = until - time.monotonic()
            if left > 0 and place and os.access(place, os.R_OK | os.X_OK):
                found[name] = _walked(place, left)
        newest = sorted(found.items(), key=lambda item: item[1].newest_at, reverse=True)
        return {name: content for name, content in newest if content.files}

    return await engine.call(ask)


async def volume_content(
    engine: Engine, volume: str, inspect: Mapping[str, Any], target: str
) -> Content | None:
    """What lies in a volume that a container has mounted at `target`; None when it is gone, or cannot be looked at.

    Read from the engine's own directory where that is on this host and readable, else through the container, where
    that changes nothing. Looking is given up after a second, or a quarter of a GB through the container.
    Raises Unavailable, Failed.
    """

    def ask(client: Any) -> Content | None:
        import docker.errors

        try:
            place = str(client.inspect_volume(volume).get("Mountpoint", ""))
            if is_local(engine.endpoint) and place and os.access(place, os.R_OK | os.X_OK):
                return _walked(place)
            if not may_be_read(engine, inspect):
                return None
            chunks, _ = client.get_archive(str(inspect["Id"]), target)
        except docker.errors.NotFound:
            return None
        return _streamed(chunks)

    return await engine.call(ask)


def _walked(place: str, seconds: float = _WALK_SECONDS) -> Content:
    until = time.monotonic() + seconds
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


async def age_in(engine: Engine, container: str, paths: Sequence[str]) -> float | None:
    """Seconds since the youngest of some files in a container was touched, by the container's own clock; None when
    there is none of them, or no program that could tell.

    Asked by a process in it, as a healthcheck is: that sees a tmpfs, too, and mounts nothing anew (`may_be_read`).
    Raises Unavailable, Failed.
    """
    script = 'date +%s; for one; do stat -c %Y "$one" 2>/dev/null; done; :'

    def ask(client: Any) -> float | None:
        import docker.errors

        try:
            made = client.exec_create(container, ["sh", "-c", script, "sh", *paths], stderr=False)["Id"]
            said = client.exec_start(made).decode(errors="replace").split()
        except docker.errors.APIError:
            return None  # it ended, or has no shell
        times = [int(word) for word in said if word.isdigit()]
        return float(max(0, times[0] - max(times[1:]))) if len(times) > 1 else None

    return await engine.call(ask)


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
