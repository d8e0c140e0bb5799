"""What a run that was killed left working: its children go on until they next write to it, or for ever.

Compose in the middle of a recreate, a build, a script of a formula: whoever goes on with the instance must not work
beside them. A child that writes carries its run's directory in its environment (`process.WORKS_FOR`), and hands it on
to what it starts itself: so they are found after a kill, which leaves nobody who knew their pids.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, run_status
from disinto_tui.adapters.process import MARK, boot_id, is_alive, process_start, signal_process
from disinto_tui.core.errors import Refused

PATIENCE = 10.0
"""Seconds for which one may end by itself: Compose does so at the next line that it cannot print."""
GRACE = 5.0
"""Seconds between TERM and KILL, and after it."""
_TICK = 0.1


@dataclass(frozen=True, slots=True)
class Survivor:
    """A process that works for a run whose own process is gone. `start` in ticks since boot."""

    pid: int
    start: float
    command: str

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return is_alive(self.pid, self.start, boot_id())

    def __str__(self) -> str:
        return f"`{self.command}` (pid {self.pid})"


def survivors(instance: Instance) -> list[Survivor]:
    """The processes, as far as this user may look, that work for a killed run of this instance.

    What a run left behind that came to its end is meant to be there (a server that a script started).
    """
    wanted = f"{MARK}={instance.runs.resolve()}{os.sep}".encode()
    found: list[Survivor] = []
    killed: dict[bytes, bool] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for item in (place / "environ").read_bytes().split(b"\0"):
                if not item.startswith(wanted):
                    continue
                if item not in killed:
                    killed[item] = _was_killed(item.partition(b"=")[2])
                start = process_start(int(place.name))
                if killed[item] and start:
                    words = (place / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")[:3]
                    command = " ".join(word.decode(errors="replace") for word in words)
                    found.append(Survivor(int(place.name), start, command))
    return found


def _was_killed(run: bytes) -> bool:
    return run_status(RunDir(Path(os.fsdecode(run)))) == "interrupted"


async def ended(instance: Instance, say: Callable[[str], None] = lambda _: None) -> None:
    """Come back when nothing works for a killed run any more.

    Each may end by itself for `PATIENCE` seconds, then is told to (TERM, as a cancelled child is), then ended. Raises
    Refused `instance.survivors` when one stays all the same.
    """
    left = survivors(instance)
    for one in left:
        say(f"{one} is left of a run that was killed; waiting until it has ended")
    for sig, seconds in ((None, PATIENCE), (signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        # Looked for anew each time: the one that ends may have started another.
        left = survivors(instance)
        for one in left if sig is not None else ():
            say(f"it goes on; ending {one}")
            signal_process(one.pid, one.start, boot_id(), sig or signal.SIGKILL)
        for _ in range(max(1, int(seconds / _TICK))):
            if not any(one.alive for one in left):
                break
            await asyncio.sleep(_TICK)
    left = [one for one in survivors(instance) if one.alive]
    if left:
        raise Refused(
            f"{', '.join(map(str, left))} is still at work in {instance.path}.",
            "It is left of a run that was killed, and does not end when it is told to.",
            "End it by its pid (`kill -9`), then give the command again.",
            code="instance.survivors",
        )
