"""Lists of tags: what a page holds, where the next one is, which tags are alike. No I/O."""

from __future__ import annotations

import re
from collections.abc import Collection

_TAG = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[^,;\"]*(?:\"[^\"]*\")?[^,;\"]*)*)")
_COMPARED = 300
"""So many candidates are compared closely: 50,000 would take seconds."""


def tags_in(data: object) -> tuple[int, list[str]]:
    """How many entries a page has, and those that are tags by the grammar.

    `data` is the JSON of a `tags/list` answer. Its tags may be null when all were deleted (observed). Text
    that is no tag is dropped: it could carry anything to a terminal. Raises ValueError when there is no list.
    """
    if not isinstance(data, dict):
        raise ValueError("its list of tags is not a JSON object")
    tags = data.get("tags")
    if tags is None:
        return 0, []
    if not isinstance(tags, list):
        raise ValueError("its list of tags is not a list")
    return len(tags), [tag for tag in tags if isinstance(tag, str) and _TAG.match(tag)]


def next_link(header: str) -> str:
    """The target of rel="next" in a Link header (RFC 8288), as given; empty when there is none."""
    for target, parameters in _LINK.findall(header):
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "rel" and "next" in value.strip().strip('"').lower().split():
                return str(target)
    return ""


def nearest_tags(wanted: str, tags: Collection[str], count: int = 3) -> list[str]:
    """The tags most like `wanted`, likeliest first; for hints. Empty when none is alike."""
    from difflib import SequenceMatcher

    near = sorted(tags, key=lambda tag: (-_common(wanted, tag), abs(len(tag) - len(wanted))))
    scored = [(SequenceMatcher(None, wanted, tag).ratio(), tag) for tag in near[:_COMPARED]]
    return [tag for score, tag in sorted(scored, key=lambda pair: -pair[0])[:count] if score >= 0.5]


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    for at, (left, right) in enumerate(zip(one, other)):  # noqa: B905 the shorter one ends it
        if left != right:
            return at
    return min(len(one), len(other))
