"""The version list in words: one wording for the command line and the terminal UI."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Protocol

from disinto_tui.core.catalog import Catalog, Meta, VersionRow, changes
from disinto_tui.core.words import age_text, size_text


class PastStart(Protocol):
    """What is read of a history entry (`runs.history.Entry`)."""

    @property
    def kind(self) -> str:
        """init, up, switch or rollback."""

    @property
    def at(self) -> float:
        """When it began, unix seconds."""

    @property
    def outcome(self) -> str:
        """How it went, in a word or two."""

    @property
    def reason(self) -> str:
        """Why it did not go well, "" when it did."""

    @property
    def by(self) -> str:
        """Who began it."""

    @property
    def lines(self) -> tuple[str, ...]:
        """A failed container's last lines."""


def made_at(meta: Meta) -> datetime | None:
    """When the image was made, in UTC; None when that is not known."""
    text = meta.created
    try:
        # Nanoseconds, as builders write them, are more than Python 3.10 reads.
        moment = datetime.fromisoformat(text[:19])
    except ValueError:
        return None
    return moment.replace(tzinfo=timezone.utc) if text.endswith("Z") else _with_zone(text)


def _with_zone(text: str) -> datetime | None:
    zone = text[-6:]
    try:
        moment = datetime.fromisoformat(text[:19] + (zone if zone[:1] in "+-" else "+00:00"))
    except ValueError:
        return None
    return moment.astimezone(timezone.utc)


def made_text(meta: Meta | None, now: float) -> str:
    """How long ago it was made: `12 d`; "…" while that is being asked, "-" when nobody says."""
    if meta is None:
        return "…"
    moment = made_at(meta)
    return age_text(now - moment.timestamp()) if moment is not None else "-"


def pull_text(meta: Meta | None) -> str:
    """What a pull would fetch: `41 MB`; "-" for nothing, "…" while that is being asked, "?" unknown."""
    if meta is None:
        return "…"
    return "-" if meta.pull == 0 else size_text(meta.pull)


def volumes_text(meta: Meta) -> str:
    """Whether the image's VOLUMEs are the stack's mounts: a path without one would become an anonymous volume."""
    from disinto_tui.core.model import AGENT_VOLUMES  # 8 ms, and only the details say it

    declared, mounted = set(meta.volumes), set(AGENT_VOLUMES)
    text = f"{len(declared & mounted)} of {len(mounted)} mounts match"
    if declared - mounted:
        text += f"; {', '.join(sorted(declared - mounted))} would be an anonymous volume"
    if mounted - declared:
        text += f"; it does not declare {', '.join(sorted(mounted - declared))}"
    return text


def platforms_text(meta: Meta) -> str:
    """The processors it was made for, and whether this host's is one of them."""
    names = ", ".join(meta.platforms) or "not known"
    return names + {True: "  ✓ runs here", False: "  ▲ does not run here", None: ""}[meta.fits]


def standing(row: VersionRow, now: float) -> list[str]:
    """What is to say about a version before all else, a phrase each."""
    marks = row.marks
    found = []
    if marks.running:
        found.append("● running")
    if marks.pinned:
        found.append("pinned")
    if marks.newest:
        found.append("newest")
    if row.kind != "release":
        found.append("pre-release" if row.kind == "pre-release" else "not a version")
    if marks.past is not None:
        glyph = "✓" if marks.past.good else "✗"
        found.append(f"{glyph} {marks.past.words}, {age_text(now - marks.past.at)} ago")
    return found


def fresh_text(catalog: Catalog, now: float) -> str:
    """How old the list is: `registry just now`, `offline, of 3 h ago`, `only what is on this host`."""
    if not catalog.asked_at:
        return "only what is on this host"
    seconds = now - catalog.asked_at
    # In whole minutes, so that a screen that shows it need not be painted every second.
    age = "just now" if seconds < 60 else f"{age_text(seconds)} ago"
    return f"offline, of {age}" if catalog.error is not None else f"registry {age}"


def about(
    row: VersionRow, past: Sequence[PastStart], catalog: Catalog, running: Meta | None, now: float
) -> list[tuple[str, str]]:
    """Everything about a version as (label, text) pairs; a label of "" goes on with the line before."""
    marks, meta = row.marks, row.meta or Meta()
    lines: list[tuple[str, str]] = [("version", " · ".join([row.tag, *standing(row, now)]))]
    if marks.past is not None and marks.past.reason:
        lines.append(("", marks.past.reason))
    lines.append(("image", f"{catalog.repository}:{row.tag}"))
    if meta.known:
        lines.append(("digest", meta.digest))
        if meta.here:
            verb = "runs" if marks.running else "has"
            lines.append(
                ("moved", f"▲ this host {verb} {meta.here[:19]} under it, the registry has another image")
            )
        moment = made_at(meta)
        if moment is not None:
            age = age_text(now - moment.timestamp())
            lines.append(("made", f"{moment:%Y-%m-%d %H:%M} UTC, {age} ago"))
        lines.append(("revision", meta.revision or "not labelled"))
        if meta.title:
            lines.append(("title", meta.title))
        lines.append(("for", platforms_text(meta)))
        lines.append(("pull", _pull_sentence(meta)))
        lines.append(("volumes", volumes_text(meta)))
    if meta.error:
        lines.append(("not asked", meta.error))
    lines.append(
        ("offline", "switching to it works without a registry" if marks.offline else "it has to be pulled")
    )
    for number, entry in enumerate(past[:5]):
        lines.append(("ran here" if number == 0 else "", entry_text(entry, now)))
    different = changes(meta, running) if running is not None and not marks.running else []
    for number, text in enumerate(different):
        lines.append((f"against {catalog.running}" if number == 0 else "", text))
    labels = sorted(
        item for item in meta.labels.items() if not item[0].startswith("org.opencontainers.image.")
    )
    for number, (key, value) in enumerate(labels):
        lines.append(("labels" if number == 0 else "", f"{key}={value}"))
    return lines


def _pull_sentence(meta: Meta) -> str:
    if meta.pull == 0:
        return "nothing, every layer is here"
    if meta.size < 0:
        return "not known"
    if meta.pull in (-1, meta.size):
        return size_text(meta.size)
    return f"{size_text(meta.pull)} of {size_text(meta.size)}"


def entry_text(entry: PastStart, now: float) -> str:
    """One start of a version: `switch 3 d ago by ops: good`."""
    who = f" by {entry.by}" if entry.by else ""
    why = f": {entry.reason}" if entry.reason else ""
    return f"{entry.kind} {age_text(now - entry.at)} ago{who}, {entry.outcome}{why}"
