"""What a run says while it runs. The TUI and the CLI are two readers of this one stream.

Events are small, typed and JSON both ways. On disk a run keeps `events.ndjson` (every event but `Lines`,
each with `log_at`, the size of the log when it happened) and `log` (plain text, one line a line). Reading
both in step gives the stream back, so attaching late shows what watching from the start would have shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

StepState = Literal["done", "skipped", "failed", "cancelled", "undone"]
"""How a step ended: done, skipped (its check found it already true), failed, cancelled, undone."""
RunState = Literal["done", "failed", "cancelled", "undone"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A process began (or began again) to execute a plan."""

    kind: ClassVar[str] = "run_started"
    at: float
    run_id: str
    pid: int
    process_start: float
    """Its start time in clock ticks since boot: with `boot_id`, proves a pid is still that process."""
    boot_id: str
    resumed: bool = False
    undo: bool = False
    log_at: int = 0


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step is about to act. Written and fsynced before it does: the write-ahead part of the journal."""

    kind: ClassVar[str] = "step_started"
    at: float
    step: str
    log_at: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one item of a step is (a layer, a file). `total` 0 means not known yet; `unit` "B" or ""."""

    kind: ClassVar[str] = "progress"
    at: float
    step: str
    item: str
    current: int
    total: int
    label: str = ""
    unit: str = "B"
    log_at: int = 0


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step ended; `reason` is one sentence when it did not simply succeed. `seconds` is wall time."""

    kind: ClassVar[str] = "step_ended"
    at: float
    step: str
    state: StepState
    seconds: float
    reason: str = ""
    log_at: int = 0


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over. `error` is `DisintoError.to_json()` when it did not succeed; `result` is data for
    the reader (URLs, digests), never a secret; `summary` the sentences an operator reads at the end."""

    kind: ClassVar[str] = "run_ended"
    at: float
    state: RunState
    exit_code: int
    summary: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    log_at: int = 0


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines a step printed, in batches, redacted, without their line ends. They live in the log, not in
    `events.ndjson`. `first` is the byte offset of the first line in the log."""

    kind: ClassVar[str] = "lines"
    step: str
    first: int
    texts: tuple[str, ...]


JournalEvent = RunStarted | StepStarted | Progress | StepEnded | RunEnded
Event = JournalEvent | Lines

_KINDS: dict[str, type[Any]] = {
    cls.kind: cls for cls in (RunStarted, StepStarted, Progress, StepEnded, RunEnded, Lines)
}


def event_to_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object with its `kind`; `event_from_json` is the inverse."""
    return {"kind": event.kind, **asdict(event)}


def event_from_json(data: Mapping[str, Any]) -> Event:
    """Rebuild an event. Unknown fields are dropped, so that an older reader can follow a newer run.

    Raises ValueError for an unknown kind or a missing field.
    """
    cls = _KINDS.get(str(data.get("kind")))
    if cls is None:
        raise ValueError(f"not an event: kind {data.get('kind')!r}")
    names = {item.name for item in fields(cls)}  # not `kind`, which is a class variable
    given = {
        key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key in names
    }
    try:
        event: Event = cls(**given)
    except TypeError as error:
        raise ValueError(f"incomplete {data['kind']}: {error}") from None
    return event
