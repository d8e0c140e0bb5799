"""Plans, runs and instances as plain text, for people who read a terminal or a log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from disinto_tui.cli.output import Output
from disinto_tui.core.errors import error_from_json
from disinto_tui.core.events import Event, Lines, Progress, RunEnded, RunStarted, StepEnded, StepStarted
from disinto_tui.core.plan import Plan
from disinto_tui.core.view import TROUBLED, InstanceView, ServiceView
from disinto_tui.core.words import age_text, size_text

if TYPE_CHECKING:
    from disinto_tui.adapters.tape import Asked
    from disinto_tui.runs.rehearsal import Rehearsed

_MARKS = {"done": "✓", "skipped": "=", "failed": "✗", "cancelled": "■", "undone": "↺"}
_ACTIONS = {"create": "+", "change": "~", "keep": "=", "remove": "-"}
_PROGRESS_SECONDS = 2.0


def plan_lines(plan: Plan, output: Output) -> Iterator[str]:
    """The plan as an operator reads it before saying yes: dangers first."""
    yield output.style(plan.title, "bold")
    engine = f"engine {plan.endpoint} · " if plan.endpoint else ""
    yield output.style(f"  {engine}project {plan.project} · {plan.directory}", "dim")
    for text in plan.dangers:
        yield output.style(f"  ▲ {text}", "yellow")
    yield from _files(plan, output)
    yield from _services(plan)
    for item in plan.pulls:
        missing = "its layers are here" if item.size == 0 else size_text(item.size)
        where = "here already" if item.here else f"to pull, {missing}"
        yield f"  image       {item.reference}  {where}"
        if item.digest:
            yield output.style(f"              {item.digest}", "dim")
    if plan.changes:
        yield f"  downtime    {plan.downtime}"
    if plan.undo:
        yield f"  undo        {plan.undo}"
    for text in plan.notes:
        yield f"  note        {text}"


def rehearsal_lines(rehearsed: Sequence[Rehearsed], looked: Sequence[Asked], output: Output) -> Iterator[str]:
    """A dry run, step by step: ✓ was asked just now, · would be asked or done; each a read, a probe or a write."""
    if looked:
        yield output.style("  looked at", "bold")
        yield from _acts(looked, output)
    for number, item in enumerate(rehearsed, start=1):
        yield output.style(f"  {number}. {item.step}", "bold") + f"  {item.title}"
        yield from _acts(item.acts, output)
        if item.remark:
            yield f"       {item.remark}"
    if rehearsed or looked:
        yield output.style("  ✓ was asked just now, · would be asked or done; nothing was changed", "dim")
    if any(act.kind == "probe" for act in looked):
        text = "  a probe asks in the shape of a write: an upload that is opened and dropped, or a token for a login"
        yield output.style(text, "dim")


def _acts(acts: Sequence[Asked], output: Output) -> Iterator[str]:
    for act in acts:
        mark, color = ("✓", "green") if act.executed else ("·", "dim")
        kind = output.style(f"{act.kind:<5}", "yellow" if act.kind == "write" else "dim")
        yield f"     {output.style(mark, color)} {kind} {act.text}"


def _files(plan: Plan, output: Output) -> Iterator[str]:
    kept = [item.path for item in plan.files if item.action == "keep"]
    if kept:
        yield output.style(f"  unchanged   {', '.join(kept)}", "dim")
    for item in plan.files:
        if item.action == "keep":
            continue
        note = f"  ({item.note})" if item.note else ""
        yield f"  file        {_ACTIONS[item.action]} {item.path}{note}"
        if item.diff and item.action == "change":
            for line in item.diff.splitlines():
                color = {"+": "green", "-": "red"}.get(line[:1], "dim")
                yield "              " + output.style(line, color)


def _services(plan: Plan) -> Iterator[str]:
    for action in ("create", "recreate", "start", "stop", "remove", "untouched"):
        found = [item for item in plan.services if item.action == action]
        if found:
            reasons = {item.why for item in found if item.why}
            why = f"  ({reasons.pop()})" if len(reasons) == 1 else ""
            yield f"  {action:<10}  {', '.join(item.name for item in found)}{why}"


class RunPrinter:
    """Prints the events of a run as they come. Narration; the result at the end is data."""

    def __init__(self, output: Output, plan: Plan) -> None:
        self._out = output
        self._plan = plan
        self._items: dict[str, tuple[int, int]] = {}
        self._last_progress = 0.0

    def event(self, event: Event) -> None:
        """Print one event."""
        if isinstance(event, RunStarted):
            word = " (taking back)" if event.undo else " (going on)" if event.resumed else ""
            self._out.say(self._out.style(f"{self._plan.title}{word}", "bold"))
        elif isinstance(event, StepStarted):
            self._items.clear()
            self._out.status(f"▶ {event.step} …")
        elif isinstance(event, Lines):
            self._out.status("")
            self._out.lines(event.texts)
        elif isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, StepEnded):
            self._step_ended(event)
        else:
            self._run_ended(event)

    def _progress(self, event: Progress) -> None:
        self._items[event.item] = (event.current, event.total)
        now = time.monotonic()
        if now - self._last_progress < _PROGRESS_SECONDS / 10:
            return
        self._last_progress = now
        done = sum(current for current, _ in self._items.values())
        total = sum(total for _, total in self._items.values())
        if event.unit == "B":
            self._out.status(f"▶ {event.step}  {size_text(done)} of {size_text(total)}  {event.label}")
        else:
            self._out.status(f"▶ {event.step}  {done} of {total}  {event.label}")

    def _step_ended(self, event: StepEnded) -> None:
        color = {"failed": "red", "done": "green"}.get(event.state, "dim")
        self._out.status("")
        mark = self._out.style(_MARKS[event.state], color)
        reason = f"  {event.reason}" if event.reason else ""
        self._out.say(f"{mark} {event.step:<14} {event.seconds:6.1f} s{reason}")

    def _run_ended(self, event: RunEnded) -> None:
        if event.error is not None:
            self._out.error(error_from_json(event.error))
        for line in event.summary:
            self._out.data(line)


def view_lines(view: InstanceView, output: Output) -> Iterator[str]:
    """`disinto status`: what version runs, is it healthy, is there something to do."""
    yield output.style(f"{view.project} · {view.directory}", "bold") + output.style(
        f"   engine {view.endpoint}", "dim"
    )
    unpinned = "(not known)" if view.mode == "none" else f"(no pin: {view.mode} mode)"
    yield f"  pinned   {view.pinned or unpinned}"
    running = ", ".join(view.running_versions) or ("unknown" if view.engine_error else "nothing")
    healthy = view.healthy_since
    health = f"healthy for {age_text(time.time() - healthy)}" if healthy is not None else ""
    yield f"  running  {running}{'  ● ' + health if health else ''}"
    if view.newest or view.newest_error:
        yield f"  newest   {view.newest or view.newest_error}"
    if view.forge_url:
        yield f"  forge    {view.forge_url}{'  ' + view.forge if view.forge else ''}"
    if view.services:
        width = max(16, *(len(item.name) for item in view.services))
        yield ""
        yield output.style(f"  {'SERVICE':<{width}}  {'STATE':<16} {'VERSION':<14} UP", "dim")
        for item in view.services:
            yield _service_line(item, width, view.at, output)
    if view.attention:
        yield ""
    for text in view.attention:
        color = "red" if text.severity == "problem" else "yellow"
        yield output.style(f"  ▲ {text.text}", color) + (f"   → {text.command}" if text.command else "")


def _service_line(item: ServiceView, width: int, now: float, output: Output) -> str:
    mark, color = ("●", "green") if item.state in ("healthy", "running") else ("○", "dim")
    if item.state in TROUBLED:
        mark, color = "▲", "red"
    state = f"{mark} {item.state}"
    if item.restarts:
        state += f" ({item.restarts})"
    up = age_text(now - item.since) if item.since is not None else "-"
    drift = output.style("  drift", "yellow") if item.drift else ""
    return (
        f"  {item.name:<{width}}  {output.style(f'{state:<16}', color)} {item.version or '-':<14} {up}{drift}"
    )
