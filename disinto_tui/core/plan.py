"""A plan is data: what will be done, in order, and why.

The same plan is printed, confirmed, executed, journaled and resumed; so it holds nothing that cannot be
shown and no secret. A step names an operation (`op`) that `runs/ops` knows, with JSON parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

FailurePolicy = Literal["keep", "undo"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `id` is unique in its plan; `why` says the cause in words; `writes` is False for a step
    that only looks. Cancelling never interrupts a step
    with `atomic` (a recreate): it is finished, judged and, when wanted, undone. A step with `always` is executed
    also when one before it failed or the run was stopped: it reports."""

    id: str
    title: str
    op: str
    params: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    writes: bool = True
    atomic: bool = False
    always: bool = False


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file the plan writes. `diff` is a redacted unified diff ("" when the content is the same);
    `secret` files are 0600 and never shown whole."""

    path: str
    action: Literal["create", "change", "keep", "remove"]
    diff: str = ""
    secret: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """A service the plan touches, or leaves alone (`action` "untouched"), and the cause in words."""

    name: str
    action: Literal["create", "recreate", "start", "stop", "remove", "untouched"]
    why: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class ImagePull:
    """An image the plan pulls: reference, digest ("" when not known), bytes not here yet (-1 unknown)."""

    reference: str
    digest: str = ""
    size: int = -1
    here: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything an operator has to know before saying yes.

    `dangers` come first on every screen and say what could be lost; `notes` are facts worth reading.
    `secrets` are the names a run needs handed over privately, never values. `on_failure` "undo" takes the
    finished steps back by itself, "keep" leaves a resumable state.
    """

    kind: str
    title: str
    directory: str
    project: str
    endpoint: str
    steps: tuple[Step, ...]
    files: tuple[FileChange, ...] = ()
    services: tuple[ServiceChange, ...] = ()
    pulls: tuple[ImagePull, ...] = ()
    downtime: str = "none"
    undo: str = ""
    dangers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    on_failure: FailurePolicy = "keep"
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Data the result repeats and readers may show (digest, forge user, URLs); never a secret."""

    @property
    def changes(self) -> bool:
        """Whether executing it would change anything at all."""
        return any(step.writes for step in self.steps)

    def step(self, step_id: str) -> Step:
        """The step with that id. Raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as a JSON object; `plan_from_json` is the inverse."""
    return asdict(plan)


def _items(data: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    value = data.get(key, ())
    return value if isinstance(value, (list, tuple)) else ()


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """Rebuild a plan from `plan_to_json`. Raises TypeError or KeyError when a part is missing."""
    plain: dict[str, Any] = {
        key: tuple(data[key]) if isinstance(data[key], list) else data[key]
        for key in Plan.__dataclass_fields__
        if key in data and key not in ("steps", "files", "services", "pulls")
    }
    return Plan(
        steps=tuple(Step(**item) for item in _items(data, "steps")),
        files=tuple(FileChange(**item) for item in _items(data, "files")),
        services=tuple(ServiceChange(**item) for item in _items(data, "services")),
        pulls=tuple(ImagePull(**item) for item in _items(data, "pulls")),
        **plain,
    )
