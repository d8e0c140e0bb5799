"""What ran here and how it went: read from the runs' own journals, so it is append-only by nature.

A version is *known good* when it passed its health watch here. It is *reverted* when the watch condemned it: a switch
that failed before (a pull, a full disk, nobody idle) says nothing about the version, and leaves earlier verdicts alone.
It is *rolled back from* when somebody left it on purpose. Whoever chooses it again, and sees it healthy, clears that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Literal

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, list_runs, run_status, step_states
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.events import RunEnded, RunStarted
from disinto_tui.core.image import parse_image

KEPT = 3
"""How many known-good images carry a tag of ours, so that no prune takes them."""
_READ = 300
"""Starts looked at, the newest ones: years of switching, and bounded all the same."""
_KINDS = ("init", "up", "switch", "rollback", "release", "adopt")
_CONDEMNED = "service.unhealthy"
"""The code of an error that is a verdict on the version and not on what was around it."""

Outcome = Literal["good", "unverified", "reverted", "left", "failed", "cancelled", "under way"]


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
    # A run's name tells its kind: the many that are something else are not even opened.
    starts = (run for run in list_runs(instance) if any(f"-{kind}-" in run.id for kind in _KINDS))
    found = list(islice((entry for entry in map(_entry, starts) if entry is not None), _READ))
    # `up` resolves no digest when the image is here; another start of the same image knows it.
    digests = {entry.image: entry.digest for entry in reversed(found) if entry.image and entry.digest}
    return [
        entry if entry.digest or not entry.image else replace(entry, digest=digests.get(entry.image, ""))
        for entry in found
    ]


def _entry(run: RunDir) -> Entry | None:
    plan = run.plan()
    facts = plan.facts
    if plan.kind not in _KINDS or not facts.get("to"):
        return None
    events = run.events()
    switched = step_states(events).get("restart-agents", "")
    if plan.kind == "release" and switched not in ("done", "failed"):
        return None  # it never came to this factory
    started = next((event.at for event in events if isinstance(event, RunStarted)), 0.0)
    ends = [event for event in events if isinstance(event, RunEnded)]
    if not started:
        return None
    outcome = _outcome(run_status(run, events), ends, released=plan.kind == "release")
    if outcome is None:
        return None
    ended = ends[-1] if ends else None
    error: Mapping[str, Any] = (ended.error or {}) if ended is not None else {}
    result: Mapping[str, Any] = {}
    for event in ends:
        result = {**result, **event.result}
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


def _outcome(status: str, ends: list[RunEnded], *, released: bool) -> Outcome | None:
    """The verdict of a run; None when it is none on any version (written or pulled, but never seen alive)."""
    ended = ends[-1] if ends else None
    if status in ("running", "interrupted"):
        return "under way"
    if status == "done":
        if not _watched(ended):
            return None
        return "unverified" if _unverified(ended) else "good"
    if any(end.state == "done" and _watched(end) for end in ends):
        return "left"  # it was good, and somebody took the whole run back
    condemned = any((end.error or {}).get("code") == _CONDEMNED for end in ends)
    if condemned and (released or status in ("undone", "failed")):
        return "reverted"
    return "cancelled" if status == "cancelled" else "failed"


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
        if entry.outcome in ("failed", "cancelled", "under way"):
            continue  # it never came up: nothing was learnt about the version, and nothing is forgotten
        if entry.outcome in ("reverted", "left") and entry.reference not in decided:
            found[entry.reference] = entry
        if entry.kind == "rollback" and entry.good and entry.before and entry.before not in decided:
            found.setdefault(entry.before, entry)
            decided.add(entry.before)
        decided.add(entry.reference)
    return found


def same_start(entry: Entry, reference: str, digest: str) -> bool:
    """Whether an entry is of that very image: the same name, and no other digest as far as both are known."""
    plain, _, pinned = reference.partition("@")
    known = pinned or digest
    return entry.reference.partition("@")[0] == plain and (
        not known or not entry.digest or known == entry.digest
    )


def rollback_order(entries: list[Entry], current: str) -> list[Entry]:
    """Every version but the current one that was seen healthy here, as `rollback` chooses: those not rolled back from
    first, then the others, both newest first."""
    behind = left_behind(entries)
    now = next((entry for entry in entries if entry.good and entry.reference == current), None)
    digest = now.digest if now is not None else ""
    others = [entry for entry in known_good(entries) if not same_start(entry, current, digest)]
    return sorted(others, key=lambda entry: entry.reference in behind)


def last_good_before(entries: list[Entry], current: str) -> Entry | None:
    """Where `rollback` without an argument goes: the newest known good that is not the current one and was
    not itself rolled back from. None when there is no such version."""
    first = next(iter(rollback_order(entries, current)), None)
    return None if first is None or first.reference in left_behind(entries) else first
