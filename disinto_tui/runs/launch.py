"""Start a run as a process of its own, so that no closed terminal, lost SSH or killed TUI touches it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from disinto_tui.adapters.host import free_bytes
from disinto_tui.adapters.instance import PRIVATE, Instance, read_bytes, write_private, writing
from disinto_tui.adapters.journal import RunDir
from disinto_tui.adapters.lock import lock
from disinto_tui.adapters.process import Waiting, spawn_detached
from disinto_tui.core.errors import DisintoError, ExitCode, Failed, error_from_json

_LAST_WORDS = "error.json"
_FULL = 64 * 1024
"""A file system with fewer free bytes is full, as far as a journal is concerned."""
_ARGV = (sys.executable, "-m", "disinto_tui.runs.process")
_WAIT = "--wait"
_waiting: list[Waiting] = []
"""The process that `prewarm` started and no run took yet."""


def prewarm(instance: Instance) -> None:
    """Start the process of a run that is still being planned: it loads its code meanwhile (0.4 s and more).

    It does nothing and ends by itself when no run comes of it. It cannot be had for a run with secrets: those are
    kept out of the environment of a run's process, and this one has ours.
    """
    if not _waiting and instance.exists:
        with contextlib.suppress(OSError):
            _waiting.append(Waiting([*_ARGV, _WAIT], cwd=str(instance.path)))


def launch(run: RunDir, *, undo: bool = False, secrets: Mapping[str, str] | None = None) -> int:
    """Start the process that executes (finishes, or takes back) a run; return its pid.

    `secrets` reach it by standard input. Raises Refused when another process holds the instance, Failed when
    the disk is full; a run that never began is removed then.
    """
    instance = instance_of(run)
    arguments = [str(run.path), *(["--undo"] if undo else [])]
    try:
        with lock(instance, f"disinto {run.plan().kind}", run.id):
            pass  # a busy instance is said here, in the operator's terminal, not in a process nobody watches
        with writing(run.path / "stderr"):
            (run.path / "stderr").touch(0o600)
            (run.path / _LAST_WORDS).unlink(missing_ok=True)
            run.clear_cancel()
    except DisintoError:
        run.discard()
        raise
    if _waiting and not secrets and (pid := _waiting.pop().tell(json.dumps(arguments).encode())):
        return pid
    return spawn_detached(
        [*_ARGV, *arguments], stderr_to=run.path / "stderr", private=secrets or {}, cwd=str(instance.path)
    )


def instance_of(run: RunDir) -> Instance:
    """The instance a run belongs to: runs live in `<instance>/.disinto/runs/<id>`."""
    private = run.path.parent.parent
    if private.name != PRIVATE:
        raise ValueError(f"not a run of an instance: {run.path}")
    return Instance.at(private.parent)


def died(run: RunDir) -> DisintoError:
    """The error for a run whose process ended without an end in its journal; its last words tell.

    What its process could still say is what is told. A run that never began (somebody else was quicker to hold
    the instance) is removed.
    """
    said = read_bytes(run.path / _LAST_WORDS)
    if said is not None:
        run.discard()
        return error_from_json(json.loads(said))
    try:
        words = (run.path / "stderr").read_text(errors="replace").strip().splitlines()
    except OSError:
        words = []
    why = f"Its last words: {words[-1]}." if words else "It was killed, or the host went down."
    if (free_bytes(run.path) or 0) < _FULL:
        why = "The disk is full, so it could not keep its journal."
    now = "`disinto resume` finishes it, `disinto resume --undo` takes it back."
    if not run.events():
        now = "Nothing was changed; give the command again."
        run.discard()
    return Failed(
        "The run's process ended before it was done.",
        why,
        now,
        code="run.died",
        details=words[-8:],
    )


def main(arguments: list[str]) -> int:
    """The run's own process: `python -m disinto_tui.runs.process RUN_DIR [--undo]`, secrets on stdin; or `--wait`,
    for those arguments on stdin (`prewarm`)."""
    import asyncio

    from disinto_tui.runs.operations import OPERATIONS
    from disinto_tui.runs.runner import execute, secrets_on_disk
    from disinto_tui.runs.stderr import redact_stderr

    if arguments == [_WAIT]:
        arguments = _told()
        secrets: dict[str, str] = {}
        if not arguments:
            return int(ExitCode.DONE)
    else:
        line = sys.stdin.readline()
        secrets = json.loads(line) if line.strip() else {}
    said = redact_stderr(secrets.values())
    run = RunDir(Path(arguments[0]))
    instance, undo = instance_of(run), "--undo" in arguments[1:]
    try:
        said.know(secrets_on_disk(instance, run))
        return int(
            asyncio.run(execute(run, instance, OPERATIONS, secrets=secrets, undo=undo, hide=said.know))
        )
    except DisintoError as error:
        # It never began, or could not keep its journal: `died` reads this where the run is watched.
        words = said.redactor.redact_values(error.to_json())
        with contextlib.suppress(DisintoError):
            write_private(run.path / _LAST_WORDS, json.dumps(words).encode())
        print(error, file=sys.stderr)  # noqa: T201  # and for people, in the run's stderr file
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)


def _told() -> list[str]:
    """What a process that was started ahead is told to do, [] when nothing; its code is loaded by then."""
    for name in ("aiohttp", "docker", "disinto_tui.adapters.registry"):
        importlib.import_module(name)  # what a switch needs, and imports only where it asks
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        return []
    arguments: list[str] = json.loads(line)
    with (Path(arguments[0]) / "stderr").open("ab") as err:
        os.dup2(err.fileno(), sys.stderr.fileno())
    return arguments
