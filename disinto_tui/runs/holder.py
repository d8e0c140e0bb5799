"""Who holds an instance, for whoever wants to write there next: watch them, finish after them, or break their lock."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Literal

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, find_run, run_status, unfinished_run
from disinto_tui.adapters.lock import Holder, LockState, break_lock, held_error, name_of, probe
from disinto_tui.core.errors import BadInput, DisintoError, Refused
from disinto_tui.core.words import age_text


@dataclass(frozen=True, slots=True)
class HolderView:
    """The lock as an operator sees it.

    state: "free"; "died" it is free, and a run was left half-way by a process that died; "busy" a live process
    works here; "left" it is locked by a process that is proved dead; "unknown" it is locked, and nobody here can
    tell by whom, or whether that one lives. `name` is `user@host` ("" when nobody is known), `since` unix seconds.
    `run` is their run, where its journal is here: to attach to, or to resume. `words` is one sentence.
    """

    state: Literal["free", "died", "busy", "left", "unknown"]
    words: str = ""
    name: str = ""
    pid: int = 0
    doing: str = ""
    since: float = 0.0
    run: str = ""
    openers: tuple[str, ...] = ()

    @property
    def breakable(self) -> Literal["no", "yes", "by name"]:
        """Whether the lock may be broken (`release`): "by name" only when the operator vouches for its death."""
        return "yes" if self.state == "left" else "by name" if self.state == "unknown" else "no"


def describe(instance: Instance) -> HolderView:
    """Who holds the instance, or who died holding it. Looks, and changes nothing; a few ms.

    Raises Failed when the file system has no locks.
    """
    return _view(instance, probe(instance))


def _view(instance: Instance, state: LockState) -> HolderView:
    holder = state.holder
    if state.held == "free":
        run = died(instance, holder)
        if holder is None or run is None:
            return HolderView("free")
        return _of(holder, "died", died_words(holder, run), run.id)
    error = held_error(instance, state)
    kind: Literal["busy", "left", "unknown"] = (
        "busy" if state.held == "live" else "left" if state.held == "dead" else "unknown"
    )
    openers = tuple(str(item) for item in state.openers)
    if holder is None:
        process = state.process
        return HolderView(kind, error.why, pid=process.pid if process else 0, openers=openers)
    return _of(holder, kind, error.why, _run_of(instance, holder), openers)


def _of(
    holder: Holder,
    state: Literal["died", "busy", "left", "unknown"],
    words: str,
    run: str,
    openers: tuple[str, ...] = (),
) -> HolderView:
    return HolderView(state, words, holder.name, holder.pid, holder.doing, holder.since, run, openers)


def _run_of(instance: Instance, holder: Holder) -> str:
    if holder.run_id:
        with contextlib.suppress(DisintoError):
            return find_run(instance, holder.run_id).id
    return ""


def died(instance: Instance, holder: Holder | None) -> RunDir | None:
    """The run that a holder left half-way, when its lock is free and its data is still there; else None."""
    if holder is None or not holder.run_id:
        return None
    with contextlib.suppress(DisintoError):
        run = find_run(instance, holder.run_id)
        if run.id == holder.run_id and run_status(run) == "interrupted":
            return run
    return None


def died_words(holder: Holder, run: RunDir) -> str:
    """One sentence about a run whose process died, without its full stop."""
    ago = age_text(max(0.0, time.time() - holder.since))
    return f"the run {run.id} of {holder.name}, pid {holder.pid}, begun {ago} ago, died half-way"


def died_note(instance: Instance) -> list[str]:
    """For a plan that may begin although an earlier run died: a note that says so. [] when none did."""
    view = describe(instance)
    if view.state != "died":
        return []
    return [f"{view.words}; this begins anew (`disinto resume` would finish that one)"]


def refuse_unfinished(instance: Instance) -> None:
    """Raise Refused when an earlier run stopped half-way: it is finished or taken back first.

    `up` and `down` write no file and begin anew from what is there, so one of those may simply be repeated. When
    somebody is at work on it at this moment, on this host or another, that is what is said.
    """
    run = unfinished_run(instance, formulas=False)
    if run is None or run.plan().kind in ("up", "down"):
        return
    state = probe(instance)
    if state.held != "free":
        raise held_error(instance, state)
    holder = state.holder
    if holder is not None and died(instance, holder) is not None and holder.run_id == run.id:
        words = died_words(holder, run)
        why = f"{words[0].upper()}{words[1:]}; it is neither finished nor taken back."
    else:
        why = f"The run {run.id} is neither finished nor taken back."
    raise Refused(
        f"“{run.plan().title}” stopped half-way.",
        why,
        "`disinto resume` finishes it, `disinto resume --undo` takes it back.",
        code="run.unfinished",
    )


def release(instance: Instance, *, vouched: str = "") -> HolderView:
    """Break the lock of a holder that is dead; returns what was broken, state "free" when there was nothing.

    `vouched` is the holder's name as `HolderView.name` shows it ("unknown" when it left none): the operator says
    that it is dead where nobody here can tell. Raises Refused for a holder that lives or that nobody vouched for,
    BadInput for another's name.
    """
    state = probe(instance)
    view = _view(instance, state)
    if state.held == "unknown" and vouched and vouched != name_of(state):
        raise BadInput(
            f"{vouched} does not hold {instance.path}.",
            f"It is held by {name_of(state)}.",
            f"If you know that that one is dead: `disinto unlock {name_of(state)}`.",
            code="unlock.name",
        )
    if state.held == "free" or not break_lock(instance, state, vouched=vouched):
        return view if view.state == "died" else HolderView("free")
    return view
