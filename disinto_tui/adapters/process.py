"""The one place that starts a child process.

Commands are data: pure functions elsewhere build them, this module executes them. A command says whether
it writes (changes the world) or only reads; a dry run executes the reads and prints the writes. Children
get argv lists, never shell strings; a scrubbed environment; their own session, so that a Ctrl-C in the
terminal does not reach them; and secrets only on standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from disinto_tui.adapters.tape import note
from disinto_tui.adapters.within import within
from disinto_tui.core.errors import Failed, Unavailable
from disinto_tui.core.settings_schema import HANDED_ON, HANDED_ON_PREFIXES

LineSink = Callable[[str, Sequence[str]], None]
"""Called with the stream ("out" or "err") and a batch of complete lines, in the order they were read."""

_CHUNK = 1 << 16
MARK = "DISINTO_RUN"
"""In the environment of a child that writes: the directory of the run it works for."""
WORKS_FOR: ContextVar[str] = ContextVar("works_for", default="")
"""That directory, while a run is executed (`adapters/survivors.py` says what for)."""
PRIVATE_FILE = "{private file}"
"""In an argv: where the child finds `Command.private`, a file that is in memory and on no disk."""
_PRIVATE_AT = 90
"""The lowest descriptor a private file is given, so that its path is the same in each child: Compose writes the
path it was given into a label."""
_STOP_GRACE = 5.0
"""Seconds between TERM and KILL for a cancelled child. A cancelled pull or build ends within 1.5 s."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to execute. `env` is the whole environment (None: `child_environment()`); `stdin` is given once
    and closed (None: /dev/null) and never shown; `timeout` is in seconds.

    `private` is what stands in a file of the child's own, as often as it opens it, at the path that `PRIVATE_FILE`
    in the argv becomes; never shown."""

    argv: tuple[str, ...]
    writes: bool
    cwd: str | None = None
    env: Mapping[str, str] | None = field(default=None, repr=False)
    stdin: bytes | None = field(default=None, repr=False)
    timeout: float | None = None
    private: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended. `stdout` and `stderr` hold what was printed when no sink took the lines; `raw` is
    stdout to the byte, when it was asked for."""

    command: Command
    returncode: int
    stdout: str
    stderr: str
    raw: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """Exit code 0. Any other is a failure: Compose's numbers differ between its versions."""
        return self.returncode == 0

    def last_words(self, count: int = 8) -> list[str]:
        """The last non-empty lines of stderr, or of stdout when there are none."""
        lines = [line for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-count:]


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: a short list of what tools need to work, plus `extra`.

    Everything else stays out, because a variable of the operator's shell beats `.env` in Compose, even when
    it is empty (observed, Compose 2.26.1).
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if key in HANDED_ON or key.startswith(HANDED_ON_PREFIXES)
    }
    return {**kept, **(extra or {})}


def _environment(command: Command) -> dict[str, str]:
    environment = dict(command.env) if command.env is not None else child_environment()
    run = WORKS_FOR.get()
    return {**environment, MARK: run} if command.writes and run else environment


class _LineReader:
    """Cuts one stream into lines and hands them on in batches, or keeps them."""

    def __init__(self, name: str, sink: LineSink | None) -> None:
        self.name = name
        self.sink = sink
        self.kept: list[str] = []
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if lines:
            self._deliver([line.removesuffix(b"\r").decode(errors="replace") for line in lines])

    def close(self) -> None:
        if self._rest:
            self._deliver([self._rest.decode(errors="replace")])
            self._rest = b""

    def _deliver(self, lines: list[str]) -> None:
        if self.sink is None:
            self.kept.extend(lines)
        else:
            self.sink(self.name, lines)


class _ByteReader(_LineReader):
    """Keeps one stream as it is."""

    def __init__(self, name: str) -> None:
        super().__init__(name, None)
        self.raw = bytearray()

    def feed(self, chunk: bytes) -> None:
        self.raw += chunk


@contextlib.contextmanager
def _private_file(command: Command) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """The argv, and the descriptors the child is given: an anonymous file in memory, gone with the last of them."""
    if command.private is None:
        yield command.argv, ()
        return
    made = os.memfd_create("private", os.MFD_CLOEXEC)
    try:
        descriptor = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _PRIVATE_AT)
    finally:
        os.close(made)
    try:
        rest = memoryview(command.private)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        path = f"/proc/self/fd/{descriptor}"
        yield tuple(part.replace(PRIVATE_FILE, path) for part in command.argv), (descriptor,)
    finally:
        os.close(descriptor)


async def run(command: Command, *, on_lines: LineSink | None = None, raw: bool = False) -> Result:
    """Execute a command and wait for it.

    With `on_lines` the lines go there as they come and the result's texts are empty; with `raw` stdout is kept as
    bytes, and neither decoded nor cut into lines. Cancelling the task
    ends the child's whole process group, TERM first. Raises Unavailable when the program is not installed
    or the timeout passes (the child is ended first).
    """
    note("write" if command.writes else "read", str(command))
    try:
        with _private_file(command) as (argv, descriptors):
            child = await asyncio.create_subprocess_exec(
                *argv,
                cwd=command.cwd,
                env=_environment(command),
                stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=descriptors,
            )
    except FileNotFoundError:
        raise missing_program(command.argv[0]) from None
    out = _ByteReader("out") if raw else _LineReader("out", on_lines)
    err = _LineReader("err", on_lines)
    try:
        await within(command.timeout, _communicate(child, command.stdin, out, err))
    except asyncio.TimeoutError:
        await _end(child)
        raise Unavailable(
            f"`{' '.join(command.argv[:3])}` did not answer.",
            f"It was given {command.timeout:g} s and was still running.",
            "Look whether the engine is busy (`docker info`), then try again.",
            code="process.timeout",
        ) from None
    except BaseException:
        await _end(child)
        raise
    finally:
        _let_go(child)
    kept = bytes(out.raw) if isinstance(out, _ByteReader) else b""
    return Result(command, child.returncode or 0, "\n".join(out.kept), "\n".join(err.kept), kept)


async def run_checked(command: Command, what: str, now: str, *, code: str = "process.failed") -> Result:
    """`run`, and a `Failed` saying `what` with the program's last words when it does not exit with 0."""
    result = await run(command)
    if not result.ok:
        words = result.last_words()
        why = words[-1].strip() if words else "It printed nothing."
        raise Failed(
            what,
            f"`{' '.join(command.argv[:3])}` ended with {result.returncode}: {why}",
            now,
            code=code,
            details=words,
        )
    return result


def missing_program(name: str) -> Unavailable:
    """The error for a program that is not on the PATH."""
    program = Path(name).name
    return Unavailable(
        f"The program `{program}` is not installed.",
        "It is not on the PATH of this user.",
        f"Install {program}, then try again.",
        code="process.missing",
    )


async def _communicate(
    child: asyncio.subprocess.Process, stdin: bytes | None, out: _LineReader, err: _LineReader
) -> None:
    async def drain(stream: asyncio.StreamReader | None, reader: _LineReader) -> None:
        while stream is not None and (chunk := await stream.read(_CHUNK)):
            reader.feed(chunk)
        reader.close()

    async def give() -> None:
        if child.stdin is None or stdin is None:
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            child.stdin.write(stdin)
            await child.stdin.drain()
        child.stdin.close()

    await asyncio.gather(give(), drain(child.stdout, out), drain(child.stderr, err))
    await child.wait()


async def _end(child: asyncio.subprocess.Process) -> None:
    for sig in (signal.SIGTERM, signal.SIGKILL):
        if child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sig)
        with contextlib.suppress(asyncio.TimeoutError):
            await within(_STOP_GRACE, asyncio.shield(child.wait()))


def _let_go(child: asyncio.subprocess.Process) -> None:
    """Close what the event loop holds of a child: nobody reads its streams any more. One that still runs, because
    its ending was itself cancelled, is killed; else nobody would know of it."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    # asyncio offers no public way to it, and a transport that outlives its loop complains when it is collected.
    transport: asyncio.SubprocessTransport | None = getattr(child, "_transport", None)
    if transport is not None:
        transport.close()


def spawn_detached(argv: Sequence[str], *, stderr_to: Path, private: Mapping[str, str], cwd: str) -> int:
    """Start a process that outlives this one and its terminal; return its pid.

    It leads its own session, so no hang-up reaches it; `private` is given to it as one line of JSON on
    standard input, so no secret is ever in its argv or environment. Its environment is this process's own
    (it is the same program) without the variables whose names or values are in `private`; its stderr is kept for
    post-mortems.
    """
    hidden = set(private.values())
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in private and value.strip() not in hidden
    }
    with stderr_to.open("ab") as err:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=err,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
    if child.stdin is None:  # unreachable with stdin=PIPE; mypy cannot know
        raise RuntimeError("no pipe to the child")
    child.stdin.write(json.dumps(dict(private)).encode() + b"\n")
    child.stdin.close()
    return child.pid


def show_with(argv: Sequence[str], text: str) -> bool:
    """Let a pager show a text on this terminal, and wait until it is left; False when it is not installed.

    It has the terminal and this process's own environment, as a program that a user chose for reading expects; Ctrl-C
    is meant for it. `less` is told to show colours and to leave what it showed, unless LESS says otherwise.
    """
    try:
        child = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, env={"LESS": "FRX", "LV": "-c", **os.environ}
        )
    except OSError:
        return False
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        child.communicate(text.encode(errors="replace"))
    finally:
        signal.signal(signal.SIGINT, before)
    return True


class Waiting:
    """A detached process started ahead of time: it loads what it will need, and waits on its standard input.

    It ends by itself when nobody tells it anything: with this object, or with the process that holds it.
    """

    def __init__(self, argv: Sequence[str], *, cwd: str) -> None:
        """Start it, leading a session of its own, with this process's environment. Raises OSError."""
        self._child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            start_new_session=True,
        )

    def tell(self, line: bytes) -> int:
        """Hand over its one line and let go of it; its pid, or 0 when it is not there any more."""
        stdin = self._child.stdin
        if stdin is None or self._child.poll() is not None:
            return 0
        try:
            stdin.write(line + b"\n")
            stdin.close()
        except OSError:
            return 0
        return self._child.pid


def boot_id() -> str:
    """This boot's id; a pid recorded under another boot is dead."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_start(pid: int) -> float:
    """Start time of a live process in clock ticks since boot; 0.0 when there is none (or it is a zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rsplit(")", 1)[1].split()
    return 0.0 if fields[0] in "ZX" else float(fields[19])


def is_alive(pid: int, start: float, boot: str) -> bool:
    """Whether that very process still runs: same boot, same pid, same start time."""
    return boot == boot_id() and pid > 0 and start > 0 and process_start(pid) == start


def signal_process(pid: int, start: float, boot: str, sig: signal.Signals) -> bool:
    """Send a signal to that very process; False when it is gone. Never to a reused pid."""
    if not is_alive(pid, start, boot):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)
        return True
    return False


def exported(names: Iterable[str]) -> list[str]:
    """Which of these variables this process's own environment carries, set or empty."""
    return sorted(name for name in names if name in os.environ)
