"""Versions of the agents image: strict SemVer 2.0.0 with a required leading `v`, and their order.

A tag that is a strict version is a "version"; every other tag (`latest`, `main`, `v1`, `1.2.3`) is an
"other tag" and is never compared with versions. `v1.2.3-amd64` is formally a pre-release (SemVer 2.0.0
section 9), so it is called one here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache, total_ordering
from typing import NamedTuple

from .errors import BadInput

# SemVer 2.0.0 grammar. [0-9] and not \d, which would accept digits of other scripts.
_NUMBER = r"0|[1-9][0-9]*"
_PRE_ID = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD_ID = r"[0-9A-Za-z-]+"
_VERSION = re.compile(
    rf"\Av({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-({_PRE_ID}(?:\.{_PRE_ID})*))?"
    rf"(?:\+({_BUILD_ID}(?:\.{_BUILD_ID})*))?\Z"
)
# A tag has at most 128 characters (distribution grammar), a version with build metadata may be longer.
# Without a limit int() itself refuses numbers of more than 4,300 digits, with a ValueError.
_LONGEST = 255


class TagKind(str, Enum):
    """What a tag is: a release, a pre-release, or no version at all."""

    RELEASE = "release"
    PRE_RELEASE = "pre-release"
    OTHER = "other"


@total_ordering
class Version:
    """A strict version. Immutable, hashable, totally ordered by SemVer 2.0.0 section 11.

    Build metadata does not take part in precedence (section 10). It breaks ties, as text, so that the
    order of any list is one order: `v1.0.0 < v1.0.0+a < v1.0.0+b`, all three of one precedence.
    """

    __slots__ = ("_key", "_precedence", "build", "major", "minor", "patch", "pre", "text")

    text: str
    major: int
    minor: int
    patch: int
    pre: str
    build: str
    _key: str
    _precedence: str

    def __init__(self, text: str) -> None:
        """Read `text`, which must be a strict version. Raises BadInput (`version.grammar`)."""
        match = _VERSION.match(text) if len(text) <= _LONGEST else None
        if match is None:
            raise _bad_version(text)
        major, minor, patch, pre, build = match.groups()
        key = _key_of(text) or ""
        put = object.__setattr__
        put(self, "text", text)
        put(self, "major", int(major))
        put(self, "minor", int(minor))
        put(self, "patch", int(patch))
        put(self, "pre", pre or "")
        put(self, "build", build or "")
        put(self, "_key", key)
        put(self, "_precedence", key[: len(key) - len(build or "")])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Version is immutable: {name}")

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `text`, for example `v0.4.0-rc.1+5`. Raises BadInput (`version.grammar`)."""
        return cls(text)

    @classmethod
    def try_parse(cls, text: str) -> Version | None:
        """Read `text`, or None when it is not a strict version. Raises nothing."""
        return cls(text) if _key_of(text) is not None else None

    @property
    def is_prerelease(self) -> bool:
        """Whether it has a pre-release part (SemVer 2.0.0 section 9)."""
        return bool(self.pre)

    @property
    def precedence(self) -> str:
        """What SemVer 2.0.0 section 11 compares, as an opaque key: equal when only build metadata differs."""
        return self._precedence

    @property
    def release(self) -> Version:
        """The same version without pre-release and build metadata."""
        return self if not (self.pre or self.build) else _make(self.major, self.minor, self.patch)

    def __eq__(self, other: object) -> bool:
        """Equality of the whole text, build metadata included. Raises nothing."""
        return self.text == other.text if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: object) -> bool:
        """Order by precedence, ties by build metadata."""
        return self._key < other._key if isinstance(other, Version) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Version({self.text!r})"

    def __reduce__(self) -> tuple[type[Version], tuple[str]]:
        return Version, (self.text,)


class NextVersions(NamedTuple):
    """The three candidates that may follow a version."""

    patch: Version
    minor: Version
    major: Version


def _make(major: int, minor: int, patch: int) -> Version:
    return Version(f"v{major}.{minor}.{patch}")


@lru_cache(maxsize=65536)
def _key_of(text: str) -> str | None:
    """A string that sorts as the version does, or None for what is no strict version.

    One string compares about five times faster than nested tuples, which is what sorting 50,000 tags
    costs. A number is its length and its digits. A pre-release is its identifiers, numbers (\\x01) below
    text (\\x02), and an end (\\x00) below both; a release (\\x03) is above every pre-release. Build metadata
    comes last.
    """
    match = _VERSION.match(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    major, minor, patch, pre, build = match.groups()
    key = f"{chr(len(major))}{major}{chr(len(minor))}{minor}{chr(len(patch))}{patch}"
    if pre is None:
        return f"{key}\x03{build or ''}"
    for part in pre.split("."):
        key += f"\x01{chr(len(part))}{part}" if part.isdigit() else f"\x02{part}\x00"
    return f"{key}\x00{build or ''}"


def _bad_version(text: str) -> BadInput:
    shown = text if len(text) <= 60 and text.isprintable() else ascii(text)[1:-1][:60] + "…"
    if not text:
        why = "It is empty."
    elif len(text) > _LONGEST:
        why = f"It has {len(text)} characters; {_LONGEST} is the limit."
    elif _VERSION.match("v" + text):
        why = "A version begins with `v` here."
    elif text[:1] == "V":
        why = "The leading `v` is a small letter."
    elif re.match(r"\Av[0-9]+(\.[0-9]+)?\Z", text):
        why = "A version has three numbers: major, minor and patch."
    elif re.match(r"\Av[0-9]+\.[0-9]+\.[0-9]+", text) and re.search(r"(?:\Av|[.-])0[0-9]+(?:[.+-]|\Z)", text):
        why = "A number in a version has no leading zero."
    else:
        why = "It is not `vMAJOR.MINOR.PATCH`, with an optional `-pre.release` and `+build`, in plain ASCII."
    return BadInput(
        f"“{shown}” is not a version.",
        why,
        "Write a version such as v0.3.0 or v0.4.0-rc.1.",
        code="version.grammar",
    )


def classify_tag(tag: str) -> TagKind:
    """Say what `tag` is. Raises nothing. Anything but a strict version with `v` is OTHER."""
    if _key_of(tag) is None:
        return TagKind.OTHER
    return TagKind.PRE_RELEASE if "-" in tag.partition("+")[0] else TagKind.RELEASE


def sort_tags(tags: Iterable[str]) -> list[str]:
    """The tags, newest version first, then the other tags alphabetically. Raises nothing.

    Duplicates stay. The order does not depend on the order given.
    """
    versions: list[tuple[str, str]] = []
    others: list[str] = []
    for tag in tags:
        key = _key_of(tag)
        if key is None:
            others.append(tag)
        else:
            versions.append((key, tag))
    versions.sort(reverse=True)
    others.sort()
    return [tag for _, tag in versions] + others


def next_versions(version: Version) -> NextVersions:
    """The next patch, minor and major release after `version`. Raises nothing.

    A pre-release is followed by its own release wherever that is already the higher number: after
    `v1.2.0-rc.1` come v1.2.0 (patch and minor) and v2.0.0 (the rule of `npm version`).
    """
    major, minor, patch = version.major, version.minor, version.patch
    if version.pre:
        return NextVersions(
            _make(major, minor, patch),
            _make(major, minor if patch == 0 else minor + 1, 0),
            _make(major if minor == patch == 0 else major + 1, 0, 0),
        )
    return NextVersions(_make(major, minor, patch + 1), _make(major, minor + 1, 0), _make(major + 1, 0, 0))


class Proposal(NamedTuple):
    """A version that may be released next. `kinds` are what it would be ("patch", "minor", "major", "first");
    `told` when the file VERSION names it, and then a release of any other is refused."""

    version: Version
    kinds: tuple[str, ...]
    told: bool = False


def proposals(newest: Version | None, told: str = "") -> list[Proposal]:
    """What may be released after `newest` (None: nothing was yet), the smallest step first. Raises nothing.

    `told` is what the file VERSION says (`0.4.0`); a version of its own comes first when it is newer and none of the
    three. One that is not newer proposes nothing.
    """
    found: dict[Version, list[str]] = {}
    if newest is None:
        found[_make(0, 1, 0)] = ["first"]
    else:
        for kind, version in zip(NextVersions._fields, next_versions(newest), strict=True):
            found.setdefault(version, []).append(kind)
    named = Version.try_parse(f"v{told.strip()}")
    if named is not None and (newest is None or named.precedence > newest.precedence) and named not in found:
        # Where nothing is there yet, whatever the file says is the first.
        found = {named: ["first"]} if newest is None else {named: [], **found}
    return [Proposal(version, tuple(kinds), version == named) for version, kinds in found.items()]
