"""Whether a run that is over may be begun again: finished, or taken back.

ways = Ways(instance, run)
ways.finish(), ways.take_back()      # as often as a screen asks
refuse_over(instance, run, undo=True)    # right before it is done
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, list_runs, may_finish, may_take_back, run_status
from disinto_tui.core.errors import Refused
from disinto_tui.core.plan import Plan

Mark = tuple[tuple[str, int, int], ...]


class Ways:
    """The answers for one run that is over, kept as long as nothing could have changed them.

    They follow from what the instance's journals say: an answer holds while there are the same runs, with journals of
    the same length and time. One thing changes no file, a process that dies without a word; so nothing is kept while
    this run or one that came later is under way. (What came earlier has no say in this.)
    """

    def __init__(self, instance: Instance, run: RunDir) -> None:
        self._instance, self._run = instance, run
        self._mark: Mark = ()
        self._kept: dict[str, bool] = {}

    def finish(self) -> bool:
        """Whether it may be gone on with. Raises BadInput `files.rights`."""
        return self._ask("finish", lambda: may_finish(self._instance, self._run))

    def take_back(self) -> bool:
        """Whether it may be taken back: by its own undo; an adoption that was finished, by a run of its own.
        Raises BadInput `files.rights`."""
        return self._ask("take back", self._back)

    def _back(self) -> bool:
        if self._run.plan().kind == "adopt" and run_status(self._run) == "done":
            from disinto_tui.runs.adopt_undo import in_force

            return in_force(self._instance, self._run)
        return may_take_back(self._instance, self._run)

    def _ask(self, what: str, ask: Callable[[], bool]) -> bool:
        mark = _journals(self._instance)
        if mark != self._mark:
            self._mark, self._kept = mark, {}
        if what not in self._kept:
            said = ask()
            if self._at_work():
                return said
            self._kept[what] = said
        return self._kept[what]

    def _at_work(self) -> bool:
        later = takewhile(lambda run: run.id != self._run.id, list_runs(self._instance))
        return any(run_status(run) == "running" for run in (self._run, *later))


def _journals(instance: Instance) -> Mark:
    """Each run, and its journal's length and time, (-1, 0) where it has none. Reads no file."""
    found: list[tuple[str, int, int]] = []
    with suppress(OSError):
        for run in instance.runs.iterdir():
            try:
                seen = (run / "events.ndjson").stat()
                found.append((run.name, seen.st_size, seen.st_mtime_ns))
            except OSError:
                found.append((run.name, -1, 0))
    return tuple(sorted(found))


def refuse_over(instance: Instance, run: RunDir, *, undo: bool) -> None:
    """Raise Refused `run.over` when that may not be done with it, or not any more. Asks anew."""
    if not (may_take_back if undo else may_finish)(instance, run):
        raise Refused(
            f"{run.id} cannot be {'taken back' if undo else 'finished'} any more.",
            _why_over(instance, run),
            _what_now(run.plan(), undo=undo),
            code="run.over",
        )


def _why_over(instance: Instance, run: RunDir) -> str:
    status = run_status(run)
    if status == "done":
        return "It is done, and other things may rest on what it did."
    if status == "undone":
        return "It was taken back already."
    later = next((one for one in list_runs(instance) if one.id > run.id), None)
    if later is None:
        return "It left nothing half done."
    return f"“{later.plan().title}” came after it, and may rest on what it left."


def _what_now(plan: Plan, *, undo: bool) -> str:
    version = next((str(step.params["version"]) for step in plan.steps if "version" in step.params), "")
    if plan.kind != "release" or not version:
        return "`disinto rollback` goes back to an earlier version, `disinto down` stops the factory."
    if not undo:
        return f"`disinto release {version}` begins anew, and leaves out what is there already."
    return f"Others may have {version} by now: release the next version. A tag nobody has is deleted on the forge."
