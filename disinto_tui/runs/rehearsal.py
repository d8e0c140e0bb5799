"""A dry run of a plan: what each step would ask and do, in order, marked; what only looks is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.tape import Asked, Tape, recording, would
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.plan import Plan
from disinto_tui.core.redact import Redactor
from disinto_tui.core.text import neutralise
from disinto_tui.runs.runner import Operation, Place


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One step: what was asked just now and what its run would ask and do. `remark` tells what that gave."""

    step: str
    title: str
    acts: tuple[Asked, ...]
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        acts = [act.to_json() for act in self.acts]
        return {"step": self.step, "title": self.title, "acts": acts, "remark": self.remark}


async def rehearse(
    instance: Instance, plan: Plan, operations: Mapping[str, Operation], secrets: Mapping[str, str]
) -> list[Rehearsed]:
    """Go through the steps and change nothing: whatever would write is refused before it leaves (`adapters/tape.py`).

    A step that could not look has a remark saying why; the others are rehearsed all the same.
    """
    place, hide = Place(instance, plan, secrets), Redactor(list(secrets.values())).redact
    found: list[Rehearsed] = []
    with recording(Tape(reads_only=True)) as tape:
        for step in plan.steps:
            rehearsing = getattr(operations[step.op], "rehearse", None)
            remark, later = "", list[Asked]()
            try:
                if rehearsing is None:
                    later = [would("write" if step.writes else "read", f"{step.op}: {step.title}")]
                else:
                    remark, later = await rehearsing(place, step.params)
            except DisintoError as error:
                remark = f"▲ {error.what} {error.why}"
            acts = (replace(act, text=neutralise(hide(act.text))) for act in (*tape.take(), *later))
            found.append(Rehearsed(step.id, step.title, tuple(acts), neutralise(hide(remark))))
    return found
