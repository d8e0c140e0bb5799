"""The version list as data: which versions there are, what is known of each, and what may be said of them.

A catalog is the union of a registry's tags, the images on this host and what this instance ran. It holds names,
not rows: 50,000 tags cost a list of strings, and a row is made when somebody looks at it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from disinto_tui.core.errors import DisintoError
from disinto_tui.core.version import TagKind, classify_tag, sort_tags

Outcome = Literal["good", "unverified", "reverted", "left"]
"""How a version went here: it passed its health watch; it came up and nobody could tell its health; it failed
and was reverted; it was good and somebody rolled back from it."""

_WORDS: Mapping[str, str] = {
    "good": "known good",
    "unverified": "ran, health unverified",
    "reverted": "reverted",
    "left": "rolled back from",
}


@dataclass(frozen=True, slots=True)
class Past:
    """What this instance remembers of a version: the latest verdict. `at` in unix seconds; `reason` in the
    words of the run that failed; `by` who started it; `run` its id."""

    outcome: Outcome
    at: float
    reason: str = ""
    by: str = ""
    run: str = ""

    @property
    def words(self) -> str:
        """The verdict as the list says it."""
        return _WORDS[self.outcome]

    @property
    def good(self) -> bool:
        """Whether it is a version to go back to."""
        return self.outcome in ("good", "unverified")


@dataclass(frozen=True, slots=True)
class Marks:
    """What is known of a tag without asking for its manifest.

    `local`: an image of that name is on this host. `offline`: it can be switched to without a registry, since
    the image is here under its own name or under ours.
    """

    local: bool = False
    running: bool = False
    pinned: bool = False
    newest: bool = False
    offline: bool = False
    past: Past | None = None

    @property
    def any(self) -> bool:
        """Whether there is anything to say."""
        return self != _NOTHING


_NOTHING = Marks()


@dataclass(frozen=True, slots=True)
class Meta:
    """What a version's image is, as its registry or this host's engine says.

    `size` is all layers compressed and `pull` those not here yet, in bytes (-1 unknown). `fits` is whether it
    runs on this engine's platform. `at` says when the tag was last seen to mean this digest (unix seconds), by
    which an offline list tells its age. `error` says why nothing is known. `here` is the id of the image that this
    host has or runs under the tag, when it is another one: the tag was moved since.
    """

    digest: str = ""
    created: str = ""
    revision: str = ""
    title: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    fits: bool | None = None
    size: int = -1
    pull: int = -1
    volumes: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    healthcheck: bool = False
    at: float = 0.0
    error: str = ""
    here: str = ""

    @property
    def known(self) -> bool:
        """Whether it is known which image the tag means."""
        return bool(self.digest)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One line of the list. `kind` is release, pre-release or other."""

    tag: str
    kind: str
    marks: Marks = _NOTHING
    meta: Meta | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What the column HERE says, the most important first, each with the glyph that goes before it."""
        marks = self.marks
        found = []
        if marks.running:
            found.append("● running")
        if marks.pinned and not marks.running:
            found.append("pinned")
        if marks.past is not None and not (marks.running and marks.past.good):
            found.append(("✓ " if marks.past.good else "✗ ") + marks.past.words)
        if marks.newest:
            found.append("newest")
        if marks.local and not marks.running:
            found.append("local")
        if self.meta is not None and self.meta.here:
            found.insert(1 if marks.running else 0, "▲ tag moved")
        if self.meta is not None and self.meta.fits is False:
            found.append("▲ other processor")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """The row as JSON, flat, as `disinto versions --json` gives it."""
        marks = asdict(self.marks)
        return {
            "tag": self.tag,
            "kind": self.kind,
            **marks,
            "meta": self.meta.to_json() if self.meta else None,
        }


@dataclass(frozen=True, slots=True)
class Catalog:
    """The versions of a repository.

    `tags` is ordered: the first `versions` of them are versions, newest first; other tags follow. `asked_at` is
    when the registry answered (unix seconds, 0.0 never); `error` why it did not this time: what is shown is
    then of `asked_at`, and what is local. `undo` is the tag that `rollback` goes back to, "" when there is none.
    `engine_error` says why the engine told nothing this time, "" when it did: what is local and what runs is then
    as it was last seen.
    """

    repository: str
    tags: Sequence[str] = ()
    versions: int = 0
    marks: Mapping[str, Marks] = field(default_factory=dict)
    asked_at: float = 0.0
    error: DisintoError | None = None
    undo: str = ""
    engine_error: str = ""

    @property
    def hidden(self) -> int:
        """How many other tags there are."""
        return len(self.tags) - self.versions

    @property
    def running(self) -> str:
        """The tag that runs here, "" when none or not one alone does."""
        found = [tag for tag, marks in self.marks.items() if marks.running]
        return found[0] if len(found) == 1 else ""

    def row(self, tag: str, meta: Meta | None = None) -> VersionRow:
        """The line of a tag."""
        return VersionRow(tag, classify_tag(tag).value, self.marks.get(tag, _NOTHING), meta)

    def filtered(self, text: str = "", *, others: bool = False) -> list[str]:
        """The tags to show: those that hold every word of `text`, whatever their case, in the list's order.

        A word after `:` names a mark: `:local`, `:good`, `:running`, `:pinned`, `:newest`, `:offline`,
        `:reverted`, `:left`. Other tags only with `others`.
        """
        shown: Sequence[str] = self.tags if others else self.tags[: self.versions]
        for word in text.lower().split():
            if word.startswith(":") and len(word) > 1:
                wanted = word[1:]
                shown = [tag for tag in shown if tag in self.marks and wanted in _names(self.marks[tag])]
            else:
                shown = [tag for tag in shown if word in tag.lower()]
        return list(shown)


def _names(marks: Marks) -> set[str]:
    flags = ("local", "running", "pinned", "newest", "offline")
    found = {name for name in flags if getattr(marks, name)}
    if marks.past is not None:
        found.add(marks.past.outcome)
        if marks.past.good:
            found.add("good")
    return found


def newest_of(tags: Iterable[str]) -> str:
    """The highest release of some tags; the highest pre-release when there is no release; else ""."""
    return newest_in(sort_tags(tags))


def newest_in(ordered: Iterable[str]) -> str:
    """The same for tags that `sort_tags` ordered, without sorting them again."""
    pre = ""
    for tag in ordered:
        kind = classify_tag(tag)
        if kind is TagKind.RELEASE:
            return tag
        if kind is TagKind.OTHER:
            break
        pre = pre or tag
    return pre


def count_versions(ordered: Sequence[str]) -> int:
    """How many of the tags that `sort_tags` ordered are versions: those stand first."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if classify_tag(ordered[middle]) is TagKind.OTHER:
            high = middle
        else:
            low = middle + 1
    return low


# -- layers that are here ----------------------------------------------------------------------------------------


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The chain id of each layer (OCI image specification, config.md, "Layer ChainID"): what an engine knows a
    layer by, since a layer alone is of no use without those below it."""
    chain: list[str] = []
    for diff in diff_ids:
        above = diff if not chain else "sha256:" + hashlib.sha256(f"{chain[-1]} {diff}".encode()).hexdigest()
        chain.append(above)
    return chain


def bytes_to_pull(layers: Sequence[tuple[str, int]], diff_ids: Sequence[str], here: set[str]) -> int:
    """Bytes of the layers that an engine with the chain ids `here` has to fetch; all when they cannot be matched.

    `layers` are (digest, compressed bytes) of the manifest, `diff_ids` of its configuration, one for one. A layer
    that comes twice is fetched once.
    """
    missing = dict(layers)
    if len(layers) == len(diff_ids):
        for (digest, _), chain in zip(layers, chain_ids(diff_ids), strict=True):
            if chain not in here:
                break
            missing.pop(digest, None)
    return sum(missing.values())


# -- what changed -----------------------------------------------------------------------------------------------

_QUIET = ("org.opencontainers.image.version", "org.opencontainers.image.created")


def changes(new: Meta, old: Meta) -> list[str]:
    """What differs between two versions' images, a line each, the weightiest first; [] when either is unknown.

    User, entrypoint and healthcheck only when a registry told of both: an engine is not asked for those.
    """
    if not (new.known and old.known) or new.digest == old.digest:
        return []
    lines = []
    for path in sorted(set(new.volumes) - set(old.volumes)):
        lines.append(f"+ volume {path}")
    for path in sorted(set(old.volumes) - set(new.volumes)):
        lines.append(f"- volume {path}")
    told_whole = new.size >= 0 and old.size >= 0
    for name, before, after in (
        ("user", old.user or "root", new.user or "root"),
        ("entrypoint", " ".join(old.entrypoint), " ".join(new.entrypoint)),
        ("healthcheck", "yes" if old.healthcheck else "none", "yes" if new.healthcheck else "none"),
    ):
        if told_whole and before != after:
            lines.append(f"{name}: {before or 'none'} → {after or 'none'}")
    if new.revision != old.revision:
        lines.append(
            f"revision: {old.revision[:12] or 'not labelled'} → {new.revision[:12] or 'not labelled'}"
        )
    told = {*_QUIET, "org.opencontainers.image.revision", "org.opencontainers.image.title"}
    for key in sorted(set(new.labels) | set(old.labels)):
        was, now = old.labels.get(key), new.labels.get(key)
        if key not in told and was != now:
            lines.append(f"label {key}: {was or 'not there'} → {now or 'not there'}")
    return lines
