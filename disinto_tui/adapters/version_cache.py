"""What registries said about versions, kept under `.disinto/cache`: tags, what each meant, and the images.

An image is kept by its digest and so never goes stale; which digest a tag means is kept with the time it was
seen. Nothing here is the truth about anything, so whatever cannot be read or written is simply not remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.registry_types import DIGEST, ImageInfo
from disinto_tui.core.errors import DisintoError

_FORMAT = 1
"""Raised when a file's meaning changes: older files are then not read."""


_STALE = 500
"""So many remembered images may be of no tag."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The tags of a repository as last heard, ordered by `sort_tags`. `at` in unix seconds. `here` and `running`
    are the tags that were on this host and ran then: what a first paint shows until the engine has answered."""

    tags: tuple[str, ...]
    at: float
    here: tuple[str, ...] = ()
    running: tuple[str, ...] = ()


class VersionCache:
    """The memory of one repository. Reading is lazy; `flush` writes what was learned. Raises nothing."""

    def __init__(self, instance: Instance, repository: str) -> None:
        name = hashlib.sha256(repository.encode()).hexdigest()[:16]
        self._instance = instance
        self._directory = instance.private / "cache" / name
        self._repository = repository
        self._digests: dict[str, tuple[str, float]] | None = None
        self._images: dict[str, ImageInfo | None] = {}
        self._changed = False

    def listing(self) -> Listing | None:
        """The tags as last heard; None when nothing was."""
        data = self._read("tags.json")
        try:
            found = Listing(*(data[key] for key in ("tags", "at", "here", "running")))
        except (KeyError, TypeError):
            return None
        return Listing(tuple(found.tags), float(found.at), tuple(found.here), tuple(found.running))

    def put_listing(
        self, tags: Sequence[str], at: float, here: Sequence[str], running: Sequence[str]
    ) -> None:
        """Remember the tags, which are ordered."""
        self._write("tags.json", {"tags": list(tags), "at": at, "here": list(here), "running": list(running)})

    def digest(self, tag: str) -> tuple[str, float] | None:
        """What a tag meant, and when that was seen; None when unknown."""
        return self._known().get(tag)

    def put_digest(self, tag: str, digest: str, at: float) -> None:
        """Remember what a tag means."""
        self._known()[tag] = (digest, at)
        self._changed = True

    def image(self, digest: str) -> ImageInfo | None:
        """What an image is; None when unknown."""
        if digest not in self._images:
            found = None
            if DIGEST.match(digest):
                with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                    found = ImageInfo.from_json(self._read(_file(digest))["image"])
            self._images[digest] = found
        return self._images[digest]

    def put_image(self, info: ImageInfo) -> None:
        """Remember an image, on disk at once: it is small, and worth a request or three."""
        if self._images.get(info.digest) != info:
            self._images[info.digest] = info
            self._write(_file(info.digest), {"image": info.to_json()})

    def flush(self) -> None:
        """Write what tags mean."""
        if self._changed and self._digests is not None:
            self._changed = False
            self._write("digests.json", {"digests": self._digests})
            self._prune({digest for digest, _ in self._digests.values()})

    def _prune(self, meant: set[str]) -> None:
        """Let go of images that no tag means any more, once those are many: a moving tag leaves one behind a day."""
        with contextlib.suppress(OSError):
            files = list((self._directory / "images").iterdir())
            if len(files) > len(meant) + _STALE:
                keep = {Path(_file(digest)).name for digest in meant}
                for path in files:
                    if path.name not in keep:
                        path.unlink(missing_ok=True)

    def _known(self) -> dict[str, tuple[str, float]]:
        if self._digests is None:
            found: dict[str, tuple[str, float]] = {}
            data = self._read("digests.json").get("digests")
            for tag, pair in (data if isinstance(data, dict) else {}).items():
                with contextlib.suppress(TypeError, ValueError):
                    digest, at = pair
                    found[tag] = (str(digest), float(at))
            self._digests = found
        return self._digests

    def _read(self, name: str) -> dict[str, Any]:
        try:
            data = json.loads((self._directory / name).read_bytes())
        except (OSError, ValueError):
            return {}
        mine = isinstance(data, dict) and data.get("repository") == self._repository
        return data if mine and data.get("format") == _FORMAT else {}

    def _write(self, name: str, data: dict[str, Any]) -> None:
        text = json.dumps({"format": _FORMAT, "repository": self._repository, **data}, separators=(",", ":"))
        if not self._instance.exists:
            return
        path = self._directory / name
        # Not synced, as everything else is that we write: a cache lost is a cache asked for again. One that
        # cannot be written (another user's instance, a full disk) is only a slower one.
        with contextlib.suppress(OSError, DisintoError):
            self._instance.ensure_private()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}.part")
            part.write_text(text)
            part.replace(path)


def _file(digest: str) -> str:
    return str(Path("images") / f"{digest.partition(':')[2]}.json")
