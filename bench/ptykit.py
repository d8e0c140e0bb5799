"""A full-screen program on a real pseudo-terminal, timed from outside.

First paint is the arrival of the chunk with which the text looked for can be read, escape sequences removed and
the frame complete: a program that brackets its frames (synchronised output) has shown nothing before the bracket
closes. The clock starts before fork(), so it holds exec, interpreter start and imports: what a person waits for.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ESCAPES = re.compile(
    rb"\x1b\[[0-9;:?<>=!]*[ -/]*[@-~]"
    rb"|\x1b[\]PX^_].*?(?:\x1b\\|\x07)"
    rb"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
FRAME_BEGINS, FRAME_ENDS = b"\x1b[?2026h", b"\x1b[?2026l"
# What an emulator answers when it is asked; some programs wait for it.
ANSWERS = {
    b"\x1b[?2026$p": b"\x1b[?2026;2$y",
    b"\x1b[?2048$p": b"\x1b[?2048;0$y",
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1b[>c": b"\x1b[>1;10;0c",
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[?u": b"\x1b[?0u",
}
_TICK = os.sysconf("SC_CLK_TCK")


def plain(data: bytes) -> bytes:
    """What stands on the screen somewhere, in the order it was painted."""
    return ESCAPES.sub(b"", data)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment as a plain terminal of full colour would give it."""
    unwanted = {"COLUMNS", "LINES", "NO_COLOR", "DISINTO_DIR", "AGENTS_IMAGE"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(extra or {})}


class Terminal:
    """One child on its own terminal. `close` ends it, by its id."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        columns: int = 120,
        rows: int = 40,
        cwd: Path | None = None,
    ) -> None:
        self.out = bytearray()
        self.alive = True
        self._closed = False
        full = environment(env)
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.begun = time.perf_counter()
        self.pid = os.fork()
        if self.pid == 0:
            _become(slave, argv, full, cwd)
        os.close(slave)
        self.fd = master

    def elapsed(self) -> float:
        return time.perf_counter() - self.begun

    def pump(self, timeout: float) -> bytes:
        """One chunk, or b"" when none came in time; questions in it are answered."""
        if not self.alive:
            return b""
        ready, _, _ = select.select([self.fd], [], [], max(0.0, timeout))
        if not ready:
            return b""
        try:
            chunk = os.read(self.fd, 65536)
        except OSError:  # the child has closed its side
            chunk = b""
        if not chunk:
            self.alive = False
            return b""
        for question, answer in ANSWERS.items():
            if question in chunk:
                self.send(answer)
        self.out += chunk
        return chunk

    def send(self, keys: bytes) -> None:
        try:
            os.write(self.fd, keys)
        except OSError:
            self.alive = False

    def shown(self) -> bytes:
        """The text of all complete frames so far."""
        data = bytes(self.out)
        if data.rfind(FRAME_BEGINS) > data.rfind(FRAME_ENDS):
            data = data[: data.rfind(FRAME_BEGINS)]
        return plain(data)

    def wait_for(self, *texts: str, within: float) -> float:
        """Seconds since the start when all the texts can be read. Raises RuntimeError when that never comes."""
        wanted = [text.encode() for text in texts]
        while self.alive and self.elapsed() < within:
            if self.pump(0.25) and all(text in self.shown() for text in wanted):
                return self.elapsed()
        tail = plain(bytes(self.out[-1500:])).decode(errors="replace")
        state = "still runs" if self.alive else "has ended"
        raise RuntimeError(f"{', '.join(texts)} never came within {within:g} s; it {state}; last: {tail!r}")

    def drain(self, duration: float) -> int:
        """Read for so many seconds; how many bytes came."""
        end, count = time.perf_counter() + duration, 0
        while self.alive and (left := end - time.perf_counter()) > 0:
            count += len(self.pump(min(left, 0.25)))
        return count

    def family(self) -> list[int]:
        """The child and its descendants."""
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    todo += [int(child) for child in task.read_text().split()]
        return found

    def rss_mib(self) -> float:
        """Resident memory of the child and its descendants."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
                total += int(match[1]) if match else 0
        return total / 1024

    def cpu_seconds(self) -> float:
        """CPU of the child, with the children it has waited for, and of those that live."""
        ticks = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(int(fields[column]) for column in (11, 12, 13, 14))
        return ticks / _TICK

    def close(self) -> None:
        """End the child and what it started, and only those."""
        if self._closed:
            return
        self._closed = True
        others = [pid for pid in self.family() if pid != self.pid]
        for sig, patience in ((signal.SIGTERM, 1.5), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sig)
            if self._gone(patience):
                break
        for pid in others:
            # Reparented by now; a number that was given to somebody else is not one of our session.
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
        os.close(self.fd)

    def _gone(self, patience: float) -> bool:
        end = time.perf_counter() + patience
        while time.perf_counter() < end:
            try:
                if os.waitpid(self.pid, os.WNOHANG)[0]:
                    return True
            except ChildProcessError:
                return True
            # A child that writes its farewell into a full terminal would never end.
            self.pump(0.02)
            if not self.alive:
                time.sleep(0.01)
        return False


def _become(slave: int, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> None:
    try:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        os.closerange(3, 256)
        if cwd is not None:
            os.chdir(cwd)
        os.execvpe(argv[0], list(argv), dict(env))
    finally:
        os._exit(127)


@contextlib.contextmanager
def terminal(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    columns: int = 120,
    rows: int = 40,
    cwd: Path | None = None,
) -> Iterator[Terminal]:
    """A terminal for the length of a `with`."""
    one = Terminal(argv, env=env, columns=columns, rows=rows, cwd=cwd)
    try:
        yield one
    finally:
        one.close()


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
