"""Executes any plan: in order, journaled, resumable, undoable, redacted.

A run is the same whether it is new, resumed after a kill, or taken back: every step is first asked whether
the world already is as it wants (`check`), and only then acts. Local state is a hint, never the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from disinto_tui.adapters import survivors
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, RunDir, step_states
from disinto_tui.adapters.lock import lock
from disinto_tui.adapters.process import WORKS_FOR, LineSink, boot_id, process_start
from disinto_tui.adapters.secrets import secrets_in, secrets_of_files
from disinto_tui.core.errors import DisintoError, ExitCode, Failed, Interrupted
from disinto_tui.core.events import (
    Event,
    JournalEvent,
    Progress,
    RunEnded,
    RunStarted,
    RunState,
    StepEnded,
    StepStarted,
    StepState,
)
from disinto_tui.core.plan import Plan, Step
from disinto_tui.core.redact import Redactor
from disinto_tui.core.text import neutralise
from disinto_tui.runs.env import env_or_nothing

Listener = Callable[[Event], None]


class Operation(Protocol):
    """What a step's `op` names. All three are idempotent; `params` is the step's JSON data.

    Some can be rehearsed, too: `async def rehearse(place, params) -> (remark, acts)` looks, and says what `run` would
    ask and do (`runs/rehearsal.py`).
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """One sentence when the world already is as this step would make it, else None."""

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do it. Returns data for the run's result. Raises DisintoError."""

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Take it back as far as it was done; one sentence saying how, None when there was nothing."""


@dataclass
class Place:
    """Where a plan is rehearsed or executed: the instance, the plan, and the secrets that were handed over."""

    instance: Instance
    plan: Plan
    secrets: Mapping[str, str]


@dataclass
class Context(Place):
    """What an operation may use besides: the run's directory and its voice."""

    run: RunDir
    writer: JournalWriter
    redactor: Redactor
    listener: Listener | None = None
    step_id: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    failed: tuple[str, DisintoError] | None = None
    """The step that ended this run, and why: for the steps that are executed all the same (`Step.always`)."""
    _progress: dict[str, tuple[float, int]] = field(default_factory=dict)

    def say(self, *texts: str) -> None:
        """Add lines to the step's log, redacted and with terminal escapes neutralised."""
        self.lines("out", texts)

    def lines(self, stream: str, texts: Sequence[str]) -> None:
        """The same as a `LineSink`: for `process.run(..., on_lines=ctx.lines)`."""
        if texts:
            clean = neutralise(self.redactor.redact("\n".join(texts))).split("\n")
            self._tell(self.writer.lines(self.step_id, clean))

    def progress(self, item: str, current: int, total: int, label: str = "", unit: str = "B") -> None:
        """Say how far an item is; at most ten times a second an item, ends always."""
        now = time.monotonic()
        last, _ = self._progress.get(item, (0.0, -1))
        if now - last < 0.1 and (total <= 0 or current < total):
            return
        self._progress[item] = (now, current)
        self.event(
            Progress(time.time(), self.step_id, item, current, total, self.redactor.redact(label), unit)
        )

    def event(self, event: JournalEvent) -> None:
        """Journal an event and tell whoever listens in this process."""
        self._tell(self.writer.write(event))

    def ended(self, state: StepState, began: float, reason: str = "") -> None:
        """Journal how the step under way ended, `began` being `time.monotonic()` of its start."""
        told = neutralise(self.redactor.redact(reason))
        self.event(StepEnded(time.time(), self.step_id, state, round(time.monotonic() - began, 3), told))

    @property
    def sink(self) -> LineSink:
        """`lines`, typed as what `process.run` takes."""
        return self.lines

    def _tell(self, event: Event) -> None:
        if self.listener is not None:
            self.listener(event)


def last_state(ctx: Context, step: str) -> str:
    """How a step of this run ended the last time, "" when it never did."""
    ended = [item.state for item in ctx.run.events() if isinstance(item, StepEnded) and item.step == step]
    return ended[-1] if ended else ""


def secrets_on_disk(instance: Instance, run: RunDir) -> list[str]:
    """The secret values in the instance's `.env` and in the one this run is about to write."""
    return secrets_of_files((instance.env_file, run.staged / ".env"))


class _StopAsked(Exception):  # not an error: the operator's wish
    """The operator asked to stop. `aborted`: asked twice, and a step was interrupted that should not be."""

    def __init__(self, aborted: bool = False) -> None:
        super().__init__()
        self.aborted = aborted


async def execute(
    run: RunDir,
    instance: Instance,
    operations: Mapping[str, Operation],
    *,
    secrets: Mapping[str, str] | None = None,
    undo: bool = False,
    listener: Listener | None = None,
    hide: Callable[[Sequence[str]], None] | None = None,
) -> ExitCode:
    """Execute (or finish, or with `undo` take back) a run, under the instance's lock.

    `hide` is told every secret that may be met, before anything is done: what else this process writes is kept free
    of them there. A request to stop made before counts: whoever begins a run anew clears an old one (`launch`).
    Returns the exit code its `RunEnded` carries; errors of steps are journaled, not raised. Raises
    Refused when another process holds the instance, or a child of a killed run does not end.
    """
    plan = run.plan()
    secrets = dict(secrets or {})
    with lock(instance, f"disinto {plan.kind}", run.id):
        left: list[str] = []
        await survivors.ended(instance, left.append)
        before = step_states(run.events())
        writer = JournalWriter(run)
        hidden = [*secrets.values(), *secrets_on_disk(instance, run)]
        hidden += secrets_in((await env_or_nothing(instance)).values)
        if hide is not None:
            hide(hidden)
        ctx = Context(instance, plan, secrets, run, writer, Redactor(hidden), listener)
        pid = os.getpid()
        ctx.event(
            RunStarted(
                time.time(), run.id, pid, process_start(pid), boot_id(), resumed=bool(before), undo=undo
            )
        )
        ctx.say(*left)
        mark = WORKS_FOR.set(str(run.path.resolve()))
        try:
            ended = await (_undo(ctx, operations, before) if undo else _go(ctx, operations))
        finally:
            WORKS_FOR.reset(mark)
            writer.close()
        return ExitCode(ended.exit_code)


async def _go(ctx: Context, operations: Mapping[str, Operation]) -> RunEnded:
    error: DisintoError | None = None
    state: RunState = "done"
    committed = False
    for step in ctx.plan.steps:
        try:
            # A recreate that has begun is finished and judged. Where stopping means going back, what was judged good
            # would be thrown away: then the rest is done, too.
            if (ctx.run.cancel_asked() and not committed) or ctx.run.abort_asked():
                raise _StopAsked
            committed = committed or (step.atomic and ctx.plan.on_failure == "undo")
            await _step(ctx, step, operations[step.op])
        except _StopAsked as stop:
            state, error = "cancelled", _stopped(ctx.plan, step, stop.aborted)
            break
        except DisintoError as failure:
            state, error = "failed", failure
            break
    if error is not None:
        ctx.failed = (step.id, error)
        await _report(ctx, operations, step.id)
    if error is not None and ctx.plan.on_failure == "undo":
        stuck = await _take_back(ctx, operations, step_states(ctx.run.events()))
        if stuck:
            state, error = "failed", _stuck(ctx.plan, error, stuck[0])
        elif state == "failed":
            state = "undone"
    finished = error is None or ctx.plan.on_failure == "undo"
    if finished or "done" not in step_states(ctx.run.events()).values():
        ctx.run.drop_staged()  # nobody will come back for them
    return _end(ctx, state, error)


async def _report(ctx: Context, operations: Mapping[str, Operation], failed: str) -> None:
    """The steps after the one that failed which are executed all the same; their own failures change nothing."""
    ids = [step.id for step in ctx.plan.steps]
    for step in ctx.plan.steps[ids.index(failed) + 1 :]:
        if step.always:
            with contextlib.suppress(DisintoError, _StopAsked):
                await _step(ctx, step, operations[step.op], stoppable=False)


async def _step(ctx: Context, step: Step, operation: Operation, *, stoppable: bool = True) -> None:
    ctx.step_id = step.id
    began = time.monotonic()
    ctx.event(StepStarted(time.time(), step.id))
    try:
        already = await operation.check(ctx, step.params)
        if already is not None:
            ctx.ended("skipped", began, already)
            return
        work = operation.run(ctx, step.params)
        ctx.result.update(await (_cancellable(ctx, step, work) if stoppable else work))
    except _StopAsked as stop:
        ctx.ended("cancelled", began, "Aborted half-way, as asked." if stop.aborted else "Stopped as asked.")
        raise
    except DisintoError as error:
        ctx.ended("failed", began, f"{error.what} {error.why}")
        raise
    except Exception as error:
        failure = unexpected(error)
        ctx.say(*(f"{type(error).__name__}: {error}".splitlines() or [type(error).__name__]))
        ctx.ended("failed", began, f"{failure.what} {failure.why}")
        raise failure from error
    ctx.ended("done", began)


async def _cancellable(ctx: Context, step: Step, work: Any) -> Mapping[str, Any]:
    """Run a step; end it early when a stop is asked for and the step may be interrupted, or when it is asked twice."""
    task: asyncio.Task[Mapping[str, Any]] = asyncio.ensure_future(work)
    stopped = aborted = False
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=0.1)
            if task.done():
                break
            if not aborted and ctx.run.abort_asked():
                aborted = True
                ctx.say("■ asked to abort")
                task.cancel()
            elif not stopped and ctx.run.cancel_asked():
                stopped = True
                if step.atomic:
                    ctx.say("■ asked to stop; this step is finished first")
                else:
                    ctx.say("■ asked to stop")
                    task.cancel()
        if task.cancelled() and (stopped or aborted):
            raise _StopAsked(step.atomic)
        return task.result()
    finally:
        if not task.done():
            task.cancel()


async def _undo(ctx: Context, operations: Mapping[str, Operation], states: Mapping[str, str]) -> RunEnded:
    """Take the whole run back, because an operator asked for it."""
    failures = await _take_back(ctx, operations, states)
    ctx.run.drop_staged()
    return _end(ctx, "failed" if failures else "undone", failures[0] if failures else None)


async def _take_back(
    ctx: Context, operations: Mapping[str, Operation], states: Mapping[str, str]
) -> list[DisintoError]:
    """Undo the steps that were begun, last first; returns what could not be taken back.

    A step that cannot be undone does not stop the others.
    """
    failures: list[DisintoError] = []
    for step in reversed(ctx.plan.steps):
        if states.get(step.id) in (None, "undone"):
            continue
        ctx.step_id = step.id
        began = time.monotonic()
        ctx.event(StepStarted(time.time(), step.id))
        state: StepState = "undone"
        try:
            reason = await operations[step.op].undo(ctx, step.params) or ""
        except DisintoError as error:
            failures.append(error)
            state, reason = "failed", f"{error.what} {error.why}"
        except Exception as error:
            failures.append(unexpected(error))
            state, reason = "failed", f"{type(error).__name__}: {error}"
        ctx.ended(state, began, reason)
    return failures


def _stuck(plan: Plan, first: DisintoError, second: DisintoError) -> DisintoError:
    """The error of a run that failed, and whose way back failed too. It never tries a third thing."""
    return Failed(
        f"{first.what} Going back failed too.",
        f"{first.why} Then: {second.what} {second.why}",
        "Read the state below, mend it by hand, then `disinto resume --undo` tries the way back again.",
        code="run.stuck",
        details=[
            *second.details,
            *(f"by hand: {line}" for line in plan.facts.get("by_hand", ())),
            *first.details,
        ],
    )


def _end(ctx: Context, state: RunState, error: DisintoError | None) -> RunEnded:
    summary = {**ctx.plan.facts, **ctx.result}.get("summary", ()) if state == "done" else ()
    event = RunEnded(
        time.time(),
        state,
        int(error.exit_code if error else ExitCode.DONE),
        summary=tuple(ctx.redactor.redact(str(line)) for line in summary),
        error=None if error is None else ctx.redactor.redact_values(error.to_json()),
        result=ctx.redactor.redact_values(
            {k: v for k, v in {**ctx.plan.facts, **ctx.result}.items() if k != "summary"}
        ),
    )
    ctx.step_id = ""
    ctx.event(event)
    return event


def _stopped(plan: Plan, step: Step, aborted: bool) -> Interrupted:
    what = f"“{plan.title}” was {'aborted in' if aborted else 'stopped at'} the step {step.id}."
    why = "Somebody asked for it (Ctrl-C, or `x` on the run screen)."
    if aborted:
        why = "Somebody asked twice for it, and this step was under way."
    if plan.on_failure == "undo":
        now = "What was begun is taken back; give the command again to begin anew."
    elif aborted:
        now = (
            "It may be half done: `disinto resume` looks at the world and goes on, `disinto resume --undo` "
            "takes it back."
        )
    else:
        now = "`disinto resume` goes on from what is already true, `disinto resume --undo` takes it back."
    return Interrupted(what, why, now, code="run.aborted" if aborted else "run.cancelled")


def unexpected(error: Exception) -> Failed:
    """The three sentences for a fault of ours; the run's log has the rest."""
    return Failed(
        "Something went wrong that this tool did not foresee.",
        f"{type(error).__name__}: {error}.",
        "The run's log has the rest (`disinto runs --log`); `disinto resume` tries again.",
        code="internal",
    )
