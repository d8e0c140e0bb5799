"""A run's own process that is killed (SIGKILL) at a moment that is named: `python -m tests.support.kill_run RUN WHEN`.

WHEN is JSON. {"boundary": 3} when the journal holds the third beginning or end of a step of this process;
{"line": REGEX} when such a line was logged, {"progress": STEP} when bytes of that step are on their way;
{"after": "module:Class.method", "call": 2} when the second call of that coroutine function has done its work and nobody
has heard of it yet. {} is never. Beside it, "set" gives other values to names of modules ({"module:NAME": 0.1}), and
"tape" is a file for all that was asked. Secrets come on standard input, as `launch` hands them over.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from disinto_tui.adapters.journal import RunDir
from disinto_tui.adapters.tape import Tape, recording
from disinto_tui.core.events import Event, Lines, Progress, StepEnded, StepStarted
from disinto_tui.runs.launch import instance_of
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.runner import execute


def end() -> None:
    """What the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


class Killer:
    """Hears every event, after it was journaled."""

    def __init__(self, when: dict[str, Any]) -> None:
        self.when = when
        self.left = int(when.get("boundary", 0))
        self.line = re.compile(when["line"]) if "line" in when else None

    def __call__(self, event: Event) -> None:
        if isinstance(event, (StepStarted, StepEnded)):
            self.left -= 1
            if self.left == 0:
                end()
        elif isinstance(event, Lines) and self.line is not None:
            if any(self.line.search(text) for text in event.texts):
                end()
        elif isinstance(event, Progress) and event.step == self.when.get("progress") and event.unit == "B":
            end()


def after(name: str, call: int) -> None:
    """Let the process end after a call of a coroutine function, its answer unheard."""
    module, _, path = name.partition(":")
    owner, _, method = path.rpartition(".")
    holder = getattr(importlib.import_module(module), owner)
    real = getattr(holder, method)
    calls = 0

    @functools.wraps(real)
    async def killing(*given: Any, **named: Any) -> Any:
        nonlocal calls
        answer = await real(*given, **named)
        calls += 1
        if calls == call:
            end()
        return answer

    setattr(holder, method, killing)


def main() -> int:
    run, when = RunDir(Path(sys.argv[1])), json.loads(sys.argv[2])
    secrets = json.loads(sys.stdin.readline() or "{}")
    for name, value in when.get("set", {}).items():
        module, _, attribute = name.partition(":")
        setattr(importlib.import_module(module), attribute, value)
    if "after" in when:
        after(when["after"], int(when.get("call", 1)))
    work = execute(run, instance_of(run), OPERATIONS, secrets=secrets, listener=Killer(when))
    with recording(Tape()) as tape:
        code = int(asyncio.run(work))
    if "tape" in when:
        Path(when["tape"]).write_text(json.dumps([asked.to_json() for asked in tape.asked]))
    return code


if __name__ == "__main__":
    sys.exit(main())
