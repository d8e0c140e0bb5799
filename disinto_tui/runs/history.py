"""What ran here and how it went: read from the runs' own journals, so it is append-only by nature.

A version is *known good* when it passed its health watch here. It is *rolled back from* when a deliberate
rollback left it, or a switch to it was reverted, and nobody chose it again since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, list_runs, run_status, step_states
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.events import RunEnded, RunStarted
from disinto_tui.core.image import parse_image

KEPT = 3
"""How many known-good images carry a tag of ours, so that no prune takes them."""
_READ = 300
"""Runs looked at, the newest ones: years of switching, and bounded all the same."""

Outcome = Literal["good", "unverified", "reverted", "failed", "cancelled", "under way"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One start of a version. `at` is when it began (unix seconds); `reference` is what was pinned or, for a
    one-off, started; `digest` and `image` (a local image id) are "" when not known; `before` is the
    reference it replaced; `lines` are a failed container's last ones."""

    run: str
    kind: str
    at: float
    reference: str
    digest: str
    image: str
    before: str
    outcome: Outcome
    reason: str = ""
    by: str = ""
    lines: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The tag, or a short digest."""
        return short(self.reference)

    @property
    def good(self) -> bool:
        """Whether it came up; without a healthcheck that is as much as anybody knows."""
        return self.outcome in ("good", "unverified")

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON."""
        return {**asdict(self), "version": self.version}


def short(reference: str) -> str:
    """What an operator calls a reference: its tag, else twelve digits of its digest, else itself."""
    try:
        found = parse_image(reference)
    except DisintoError:
        return reference
    return found.tag or (found.digest or reference).removeprefix("sha256:")[:12]


def history(instance: Instance) -> list[Entry]:
    """Every start of a version, newest first."""
    found = (_entry(run) for run in list_runs(instance)[:_READ])
    return [entry for entry in found if entry is not None]


def _entry(run: RunDir) -> Entry | None:
    plan = run.plan()
    facts = plan.facts
    if plan.kind not in ("init", "up", "switch", "rollback", "release") or not facts.get("to"):
        return None
    events = run.events()
    switched = step_states(events).get("restart-agents", "")
    if plan.kind == "release" and switched not in ("done", "failed"):
        return None  # it never came to this factory
    started = next((event.at for event in events if isinstance(event, RunStarted)), 0.0)
    if not started:
        return None
    ended = next((event for event in reversed(events) if isinstance(event, RunEnded)), None)
    status = run_status(run, events)
    outcome: Outcome = "failed"
    if status in ("running", "interrupted"):
        outcome = "under way"
    elif status == "done":
        if not _watched(ended):
            return None  # written, or pulled, but never seen alive
        outcome = "unverified" if _unverified(ended) else "good"
    elif status == "undone" or (plan.kind == "release" and switched == "failed"):
        outcome = "reverted"
    elif status == "cancelled":
        outcome = "cancelled"
    error: Mapping[str, Any] = (ended.error or {}) if ended is not None else {}
    result: Mapping[str, Any] = ended.result if ended is not None else {}
    return Entry(
        run.id,
        plan.kind,
        started,
        str(facts["to"]),
        str(facts.get("digest", "") or result.get("image_digest", "")),
        str(result.get("image_id", "")),
        str(facts.get("from", "")),
        outcome,
        f"{error.get('what', '')} {error.get('why', '')}".strip(),
        str(facts.get("by", "")),
        tuple(str(line) for line in error.get("details", ())),
    )


def _watched(ended: RunEnded | None) -> bool:
    return ended is not None and bool(ended.result.get("watched"))


def _unverified(ended: RunEnded | None) -> bool:
    return ended is not None and bool(ended.result.get("unverified"))


def known_good(entries: list[Entry]) -> list[Entry]:
    """The latest good start of each version, newest first."""
    found: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        if entry.good:
            found.setdefault((entry.reference.partition("@")[0], entry.digest), entry)
    return list(found.values())


def left_behind(entries: list[Entry]) -> dict[str, Entry]:
    """References rolled back from, each with the entry that says when and why; a later choice clears it."""
    decided: set[str] = set()
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.outcome == "reverted" and entry.reference not in decided:
            found[entry.reference] = entry
        if entry.kind == "rollback" and entry.good and entry.before and entry.before not in decided:
            found.setdefault(entry.before, entry)
            decided.add(entry.before)
        decided.add(entry.reference)
    return found


def last_good_before(entries: list[Entry], current: str) -> Entry | None:
    """Where `rollback` without an argument goes: the newest known good that is not the current one and was
    not itself rolled back from. None when there is no such version."""
    behind = left_behind(entries)
    for entry in known_good(entries):
        if entry.reference != current and entry.reference not in behind:
            return entry
    return None
