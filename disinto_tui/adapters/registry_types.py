"""What a registry's documents say: descriptors, manifests, image configurations, platforms. No I/O.

Shapes after the OCI image specification 1.1 and Docker's manifest schema 2; both are read leniently (null
where a map belongs is empty) and what cannot be read raises ValueError with the reason.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)
"""All are asked for every time: without the matching one docker-registry 2.8.2 converts to schema 1 and
returns another digest (observed)."""
SCHEMA_ONE = "vnd.docker.distribution.manifest.v1+"
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})

DIGEST = re.compile(r"\A(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})\Z")
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armhf": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
}
_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_NANOSECONDS = re.compile(r"\A(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|z|[+-]\d\d:\d\d)\Z")


class SchemaOneError(ValueError):
    """A Docker manifest of schema 1: a format that engines no longer run."""


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and a processor, as in `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `os/arch[/variant]`, or a processor alone; the engine's names (x86_64) are known.

        Raises ValueError for anything else.
        """
        parts = text.strip().lower().split("/")
        if len(parts) == 1:
            parts = ["linux", *parts]
        if len(parts) > 3 or not all(re.fullmatch(r"[a-z0-9_.-]+", part) for part in parts):
            raise ValueError(f"not a platform: {text[:80]!r}")
        architecture, variant = _ARCHITECTURES.get(parts[1], (parts[1], ""))
        return cls(parts[0], architecture, parts[2] if len(parts) == 3 else variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def known(self) -> bool:
        """False for the unknown/unknown of attestations."""
        return bool(self.architecture) and self.architecture != "unknown" and self.os != "unknown"

    def fit(self, other: Platform) -> int:
        """How well an image for `other` runs here: 0 not at all, else the higher the closer.

        Variants of one processor are downward compatible (a v7 runs v6); an arm64 without variant is v8,
        an arm without is v7, an amd64 without is v1, as in containerd.
        """
        if (self.os, self.architecture) != (other.os, other.architecture):
            return 0
        mine, theirs = self._level, other._level
        return theirs + 1 if theirs <= mine else 0

    @property
    def _level(self) -> int:
        variant = self.variant or _DEFAULT_VARIANT.get(self.architecture, "")
        digits = re.match(r"v(\d+)", variant)
        return int(digits[1]) if digits else 0


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content: its digest, media type and size in bytes (-1 when the registry did not say)."""

    digest: str
    media_type: str
    size: int
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """An index (`manifests` filled) or a single image manifest (`config` and `layers` filled)."""

    descriptor: Descriptor
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of this very document."""
        return self.descriptor.digest

    @property
    def is_index(self) -> bool:
        """Whether it only lists manifests of several platforms."""
        return self.descriptor.media_type in INDEX_TYPES


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The parts of an image's configuration that decide whether and how it can run."""

    architecture: str
    os: str
    variant: str = ""
    created: str = ""
    """RFC 3339 as the builder wrote it; `created_at` is the readable form."""
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    """Paths declared as VOLUME, trailing slashes removed, sorted."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    healthcheck: tuple[str, ...] = ()
    """The test of HEALTHCHECK (`CMD-SHELL`, ...); empty when the image has none."""
    diff_ids: tuple[str, ...] = ()
    """Digests of the layers unpacked, in the manifest's order: what an engine knows them by."""

    @property
    def platform(self) -> Platform:
        """What the image was built for."""
        return Platform(self.os, self.architecture, self.variant)

    @property
    def created_at(self) -> datetime | None:
        """When it was built, in UTC; None when unset or not meaningful (zero, or the epoch of a
        reproducible build)."""
        return parse_time(self.created)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Everything about one image for one platform."""

    digest: str
    """Of what was asked for: the index's digest when the image has several platforms. This is the one to
    pin and the one a moved tag is noticed by."""
    manifest_digest: str
    """Of the manifest for the platform; the same as `digest` for an image without an index."""
    platforms: tuple[Platform, ...]
    layers: tuple[tuple[str, int], ...]
    """(digest, bytes) in order, compressed, as pulled."""
    config_digest: str
    """The image id on an engine with the classic store."""
    config: ImageConfig

    @property
    def size(self) -> int:
        """Bytes of all layers, each counted once."""
        return sum(dict(self.layers).values())

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, for a cache on disk; `from_json` is the inverse."""
        from dataclasses import asdict

        return {**asdict(self), "platforms": [str(platform) for platform in self.platforms]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImageInfo:
        """Rebuild from `to_json`. Raises KeyError, TypeError or ValueError for anything else."""
        config: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data["config"].items()
        }
        return cls(
            digest=data["digest"],
            manifest_digest=data["manifest_digest"],
            platforms=tuple(Platform.parse(text) for text in data["platforms"]),
            layers=tuple((digest, int(size)) for digest, size in data["layers"]),
            config_digest=data["config_digest"],
            config=ImageConfig(**config),
        )


def parse_manifest(body: bytes, media_type: str, digest: str) -> Manifest:
    """Read a manifest whose digest was verified. `media_type` is the Content-Type it came with.

    Raises SchemaOneError for Docker's schema 1, ValueError for anything that is not one of the four types.
    """
    data = _object(_load(body), "the manifest")
    kind = media_type.partition(";")[0].strip().lower()
    if data.get("schemaVersion") == 1 or SCHEMA_ONE in kind or "fsLayers" in data:
        raise SchemaOneError("manifest schema 1")
    own = data.get("mediaType")
    if isinstance(own, str) and own in MANIFEST_TYPES:
        kind = own
    if kind not in MANIFEST_TYPES:
        kind = OCI_INDEX if "manifests" in data else OCI_MANIFEST
    if ("manifests" in data) == ("layers" in data or "config" in data) or (kind in INDEX_TYPES) != (
        "manifests" in data
    ):
        # One document read as an index by one program and as an image by another is an attack.
        raise ValueError("it is neither clearly an index nor clearly an image")
    descriptor = Descriptor(digest, kind, len(body))
    annotations = _strings(data.get("annotations"))
    if kind in INDEX_TYPES:
        entries = tuple(_descriptor(entry) for entry in _list(data["manifests"]))
        return Manifest(descriptor, manifests=entries, annotations=annotations)
    return Manifest(
        descriptor,
        config=_descriptor(data.get("config")),
        layers=tuple(_descriptor(layer) for layer in _list(data.get("layers"))),
        annotations=annotations,
    )


def parse_config(body: bytes) -> ImageConfig:
    """Read an image configuration blob. Raises ValueError when it is none (no architecture or os)."""
    data = _object(_load(body), "the image configuration")
    inner = _object(data.get("config") or {}, "its config")
    health = inner.get("Healthcheck")
    test = _texts(health.get("Test")) if isinstance(health, dict) else ()
    volumes = inner.get("Volumes") or {}
    architecture, system = data.get("architecture"), data.get("os")
    if not isinstance(architecture, str) or not isinstance(system, str) or not architecture:
        raise ValueError("it names no architecture: not an image that can run")
    return ImageConfig(
        architecture=architecture,
        os=system,
        variant=_text(data.get("variant")),
        created=_text(data.get("created")),
        labels=_strings(inner.get("Labels")),
        volumes=tuple(sorted({str(path).rstrip("/") or "/" for path in volumes})),
        entrypoint=_texts(inner.get("Entrypoint")),
        cmd=_texts(inner.get("Cmd")),
        user=_text(inner.get("User")),
        working_dir=_text(inner.get("WorkingDir")),
        stop_signal=_text(inner.get("StopSignal")),
        healthcheck=() if test[:1] == ("NONE",) else test,
        diff_ids=_texts(_object(data.get("rootfs") or {}, "its rootfs").get("diff_ids")),
    )


def choose(manifests: Sequence[Descriptor], wanted: Platform) -> Descriptor | None:
    """The entry of an index that runs best on `wanted`; None when none does.

    Attestations (unknown/unknown) and entries of other media types are passed over; of equals the first
    counts. A single entry without a platform is taken: its configuration is checked afterwards.
    """
    images = [entry for entry in manifests if _is_image(entry)]
    fits = [(wanted.fit(entry.platform), entry) for entry in images if entry.platform]
    best = max(fits, key=lambda pair: pair[0], default=None)
    if best and best[0]:
        return best[1]
    return images[0] if len(images) == 1 and images[0].platform is None else None


def platforms_of(manifests: Sequence[Descriptor]) -> tuple[Platform, ...]:
    """The platforms of an index, without attestations, each once, in its order."""
    return tuple(dict.fromkeys(entry.platform for entry in manifests if entry.platform and _is_image(entry)))


def parse_time(text: str) -> datetime | None:
    """RFC 3339 with up to nanoseconds (as Go writes it) -> UTC; None when unreadable or before 1971."""
    from datetime import datetime, timezone

    found = _NANOSECONDS.match(text)
    if not found:
        return None
    fraction = (found[2] or "0")[:6].ljust(6, "0")
    zone = "+00:00" if found[3] in "Zz" else found[3]
    try:
        moment = datetime.fromisoformat(f"{found[1].upper()}.{fraction}{zone}").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year > 1970 else None


def digest_of(body: bytes, like: str = "sha256:") -> str:
    """The digest of some bytes, by the algorithm of `like` (sha256 or sha512)."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def _is_image(entry: Descriptor) -> bool:
    known = entry.platform is None or entry.platform.known
    return known and entry.media_type in {OCI_MANIFEST, DOCKER_MANIFEST}


def _descriptor(value: object) -> Descriptor:
    data = _object(value, "a descriptor")
    digest, size = data.get("digest"), data.get("size")
    if not isinstance(digest, str) or not DIGEST.match(digest):
        raise ValueError("a descriptor has no valid digest")
    place = data.get("platform")
    platform = None
    if isinstance(place, dict):
        parts = [_text(place.get(key)) for key in ("os", "architecture", "variant")]
        platform = Platform(*parts)
    whole = size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else -1
    return Descriptor(digest, _text(data.get("mediaType")), whole, platform)


def _load(body: bytes) -> object:
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("a list is missing")
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(item, str)}
