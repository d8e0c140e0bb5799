"""A run on disk: its plan, its events, its log. Written ahead, so a kill at any instant loses nothing.

.disinto/runs/<id>/
    plan.json       the plan, as confirmed
    events.ndjson   one event a line; state events are fsynced before the step acts
    log             every line every step printed, redacted, plain text
    staged/         files to be, 0600, until they are in place
    backup/         files as they were, 0600
    cancel          exists when somebody asked the run to stop
    abort           exists when somebody asked twice
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import time
from calendar import timegm
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Literal

from disinto_tui.adapters.instance import Instance, disk_error, read_bytes, write_private, writing
from disinto_tui.adapters.process import is_alive
from disinto_tui.core.errors import BadInput, DisintoError, Failed
from disinto_tui.core.events import (
    JournalEvent,
    Lines,
    Progress,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    event_from_json,
    event_to_json,
)
from disinto_tui.core.plan import Plan, plan_from_json, plan_to_json

_FORGOTTEN_SECONDS = 60
_STAMP = "%Y%m%d-%H%M%S"
REQUEST = "release-request"
"""The kind of a run that files a request for approval."""
REQUEST_MADE = "request-made.json"
"""What such a run made, by which its undo knows its own: kept as long as the run, since approvals take their time."""
KEPT_WHOLE = 100
"""Runs kept with their log and backups; of older ones stay the plan and the events, which are the history."""

RunStatus = Literal["planned", "running", "interrupted", "done", "failed", "cancelled", "undone"]
"""planned: never started. interrupted: its process died under way; finish it or undo it."""


def unusable(path: Path, error: OSError) -> DisintoError:
    """The three sentences for a file or directory that the system does not let us use: BadInput `files.rights`;
    on a full disk Failed `disk.full`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_error(path, error)
    rights = isinstance(error, PermissionError)
    return BadInput(
        f"{path} cannot be used.",
        f"The system says: {error.strerror or error}.",
        "Start it as the user who owns the directory, or give it back to you with chown."
        if rights
        else "Look at what lies there and who owns it; start it as the user who owns the directory.",
        code="files.rights",
    )


@contextlib.contextmanager
def using(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which looks at `path`, into its three sentences (`unusable`)."""
    try:
        yield
    except OSError as error:
        named = error.filename
        raise unusable(Path(named) if isinstance(named, str) else path, error) from None


@dataclass(frozen=True, slots=True)
class RunDir:
    """One run's directory. `id` sorts by time: `20261124-034500-init-3f9a`."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id, its directory's name."""
        return self.path.name

    @property
    def events_path(self) -> Path:
        """`events.ndjson`."""
        return self.path / "events.ndjson"

    @property
    def log_path(self) -> Path:
        """`log`, plain text."""
        return self.path / "log"

    @property
    def staged(self) -> Path:
        """Files to be."""
        return self.path / "staged"

    @property
    def backup(self) -> Path:
        """Files as they were before this run."""
        return self.path / "backup"

    def plan(self) -> Plan:
        """The plan as it was confirmed. Raises BadInput when the directory holds none."""
        data = read_bytes(self.path / "plan.json")
        if data is None:
            raise BadInput(
                f"There is no run {self.id} here.",
                f"{self.path.parent} holds no such directory with a plan.",
                "List the runs with `disinto runs`.",
                code="run.unknown",
            )
        return plan_from_json(json.loads(data))

    def events(self) -> list[JournalEvent]:
        """Every journal event so far; a last line cut short by a kill is left out."""
        data = read_bytes(self.events_path) or b""
        found: list[JournalEvent] = []
        for line in data.split(b"\n"):
            with contextlib.suppress(ValueError):
                event = event_from_json(json.loads(line))
                if not isinstance(event, Lines):
                    found.append(event)
        return found

    def ask_cancel(self) -> None:
        """Ask the run to stop; a step that must not be left half done is finished first."""
        with using(self.path):
            (self.path / "cancel").touch()

    def ask_abort(self) -> None:
        """Ask the run to stop at once, also in the middle of such a step."""
        self.ask_cancel()
        with using(self.path):
            (self.path / "abort").touch()

    def cancel_asked(self) -> bool:
        """Whether somebody asked."""
        with using(self.path):
            return (self.path / "cancel").exists()

    def abort_asked(self) -> bool:
        """Whether somebody asked twice."""
        with using(self.path):
            return (self.path / "abort").exists()

    def clear_cancel(self) -> None:
        """Forget earlier requests, when the run is begun again."""
        with using(self.path):
            for name in ("cancel", "abort"):
                (self.path / name).unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove a run that never began, with its staged files; one that began stays for the record."""
        if not self.events():
            shutil.rmtree(self.path, ignore_errors=True)

    def drop_staged(self) -> None:
        """Remove the staged files (they may hold secrets) once they are in place or given up."""
        with using(self.staged):
            if self.staged.is_dir():
                for file in sorted(self.staged.rglob("*"), reverse=True):
                    file.rmdir() if file.is_dir() else file.unlink()
                self.staged.rmdir()


def create_run(instance: Instance, plan: Plan, staged: dict[str, bytes] | None = None) -> RunDir:
    """Write a confirmed plan, and the files it will put in place, to a new run directory; start nothing.

    `staged` maps names relative to the instance to contents. Everything is 0600 under `.disinto/` (0700).
    Raises Failed `disk.*`, leaving no trace of the run.
    """
    instance.ensure_private()
    _drop_forgotten(instance)
    _thin(instance)
    run = RunDir(instance.runs / f"{_next_stamp(instance)}-{plan.kind}-{secrets.token_hex(2)}")
    try:
        for name, data in (staged or {}).items():
            write_private(run.staged / name, data)
        write_private(run.path / "plan.json", json.dumps(plan_to_json(plan), indent=1).encode())
    except Failed:
        run.discard()  # it may hold secrets, and nobody would look for it
        raise
    return run


def _next_stamp(instance: Instance) -> str:
    """Now, or a second after the newest run: names tell the order, of two runs in one second and with a clock that was
    set back, too."""
    now = time.strftime(_STAMP, time.gmtime())
    for run in list_runs(instance):
        with contextlib.suppress(ValueError):  # a name that somebody else gave
            newest = timegm(time.strptime(run.id[: len(now)], _STAMP))
            return max(now, time.strftime(_STAMP, time.gmtime(newest + 1)))
    return now


def _drop_forgotten(instance: Instance) -> None:
    """Remove runs that were planned and never begun (their command was killed): they may hold secrets."""
    for run in list_runs(instance):
        with using(run.path):
            forgotten = (
                not run.events_path.exists() and time.time() - run.path.stat().st_mtime > _FORGOTTEN_SECONDS
            )
        if forgotten:
            run.discard()


def _thin(instance: Instance) -> None:
    """Remove logs and backups (old pins, old secrets) of runs that ended long ago; what cannot be removed stays."""
    for run in list_runs(instance)[KEPT_WHOLE:]:
        kept = ("plan.json", run.events_path.name, REQUEST_MADE)
        rest = [path for path in run.path.iterdir() if path.name not in kept]
        if not rest or run_status(run) in ("planned", "running", "interrupted"):
            continue
        for path in rest:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


def list_runs(instance: Instance) -> list[RunDir]:
    """The runs of an instance that hold a plan, newest first. Raises BadInput `files.rights`."""
    with using(instance.runs):
        if not instance.runs.is_dir():
            return []
        return [
            RunDir(path)
            for path in sorted(instance.runs.iterdir(), reverse=True)
            if (path / "plan.json").exists()
        ]


def find_run(instance: Instance, run_id: str | None) -> RunDir:
    """The run with that id or a unique beginning of it; without one the newest. Raises BadInput."""
    runs = list_runs(instance)
    matching = [run for run in runs if run_id is None or run.id == run_id or run.id.startswith(run_id)]
    if not matching or (run_id is not None and len(matching) > 1 and matching[0].id != run_id):
        raise BadInput(
            f"There is no run {run_id} here." if run_id else "There is no run here yet.",
            "More than one begins like that." if len(matching) > 1 else f"{instance.runs} does not hold it.",
            "List the runs with `disinto runs`.",
            code="run.unknown",
        )
    return matching[0]


def run_status(run: RunDir, events: Sequence[JournalEvent] | None = None) -> RunStatus:
    """Where a run stands, from its journal and whether its process lives."""
    events = run.events() if events is None else events
    started: RunStarted | None = None
    ended: RunEnded | None = None
    for event in events:
        if isinstance(event, RunStarted):
            started, ended = event, None
        elif isinstance(event, RunEnded):
            ended = event
    if ended is not None:
        return ended.state
    if started is None:
        return "planned"
    return "running" if is_alive(started.pid, started.process_start, started.boot_id) else "interrupted"


def step_states(events: Sequence[JournalEvent]) -> dict[str, str]:
    """The last known state of each step that was begun: "running" or its StepState."""
    states: dict[str, str] = {}
    for event in events:
        if isinstance(event, StepStarted):
            states[event.step] = "running"
        elif isinstance(event, StepEnded):
            states[event.step] = event.state
    return states


def unfinished_run(instance: Instance, *, formulas: bool = True) -> RunDir | None:
    """The newest run when it was left half-way (killed, failed or cancelled with steps done), else None.

    Of a formula one step that failed is enough: nobody knows what its script had done by then.
    Scripts of a formula leave the instance as it is, so a later one does not hide a run that left it half-way; so does
    a release that did not get to the instance, or went back. The newest of them counts like any other run, or not at
    all (`formulas`). A request for approval touches the forge alone, and hides neither.
    """
    seen = {False: not formulas, True: not formulas}
    for run in list_runs(instance):
        kind, events = run.plan().kind, run.events()
        switching = step_states(events).get("restart-agents") == "running" or _stuck(events)
        request = kind == REQUEST
        formula = request or kind == "formula" or (kind == "release" and not switching)
        if formula and seen[request]:
            continue
        status = run_status(run, events)
        if status == "planned":
            continue
        half_way = status == "interrupted" or (
            status in ("failed", "cancelled")
            and (_stuck(events) or kind == "formula" or "done" in step_states(events).values())
        )
        if formula and not half_way:
            seen[request] = True
            continue
        return run if half_way else None
    return None


def may_finish(instance: Instance, run: RunDir) -> bool:
    """Whether a run may be gone on with now: the one that was left half-way, or any request for approval that was:
    each of its steps looks first, and what was done here since has nothing to do with it."""
    if run.plan().kind == REQUEST:
        return run_status(run) in ("interrupted", "failed", "cancelled")
    half_way = unfinished_run(instance)
    return half_way is not None and half_way.id == run.id


def may_take_back(instance: Instance, run: RunDir) -> bool:
    """Whether a run may be undone now: one that stopped half-way, a switch that nothing followed, or any request for
    approval (its undo looks what became of it).

    A finished init is not: it would take a running factory and its tokens away. `disinto down` stops it.
    """
    if run.plan().kind == REQUEST:
        return run_status(run) not in ("planned", "running", "undone")
    half_way = unfinished_run(instance)
    if half_way is not None:
        return half_way.id == run.id
    newest = next(iter(list_runs(instance)), None)
    return (
        newest is not None
        and newest.id == run.id
        and run_status(run) == "done"
        and run.plan().kind in ("switch", "rollback")
    )


def _stuck(events: Sequence[JournalEvent]) -> bool:
    """Whether a way back failed, asked for or not: the state is nobody's wish."""
    last = next((event for event in reversed(events) if isinstance(event, RunEnded)), None)
    begun = next((event for event in reversed(events) if isinstance(event, RunStarted)), None)
    if last is None or begun is None or last.state != "failed":
        return False
    return begun.undo or (last.error or {}).get("code") == "run.stuck"


class JournalWriter:
    """Appends a run's events and lines. One process, one writer: the lock sees to it.

    Its methods raise Failed `disk.*` when the disk takes no more.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        with writing(run.events_path):
            self._mend()
            # Unbuffered: what a full disk refused must not be tried again behind our back on close.
            self._events = run.events_path.open("ab", buffering=0)
            self._log = run.log_path.open("ab", buffering=0)
            run.events_path.chmod(0o600)
            run.log_path.chmod(0o600)
        self._log_size = self._log.tell()

    def _mend(self) -> None:
        # A kill may have cut the last line of either file; the next one must start on a line of its own.
        for path in (self.run.events_path, self.run.log_path):
            with path.open("ab+") as file:
                if file.tell() == 0:
                    continue
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")

    def write(self, event: JournalEvent) -> JournalEvent:
        """Append an event, stamped with the log's size; state events are on the disk when this returns."""
        event = replace(event, log_at=self._log_size)
        with writing(self.run.events_path):
            _append(self._events, json.dumps(event_to_json(event), separators=(",", ":")).encode() + b"\n")
            if not isinstance(event, Progress):
                os.fsync(self._events.fileno())
        return event

    def lines(self, step: str, texts: Sequence[str]) -> Lines:
        """Append lines (already redacted) to the log."""
        batch = Lines(step, self._log_size, tuple(texts))
        if texts:
            data = "".join(f"{text}\n" for text in texts).encode(errors="replace")
            with writing(self.run.log_path):
                _append(self._log, data)
            self._log_size += len(data)
        return batch

    def close(self) -> None:
        """Close both files."""
        self._events.close()
        self._log.close()


def _append(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
