"""Python that is warm: what `python ARGV` does, in a fork of a process that has loaded the package already.

Most of the time of a command that a test gives is the loading of code (0.7 s of a processor, and once more in the
process of its run), which is the same each time. So a server loads it once and forks for every command: a process of
its own as before, with the argv, environment, directory and standard streams it was given, ended by the same signals.
What differs is its command line in `/proc`, which is the server's. Tests of the start itself, and those that look at
command lines, start Python as an operator does.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
_FRAME = 1 << 20
"""The most that a request may hold: argv, environment, directory."""


class TimedOut(subprocess.TimeoutExpired):
    """A command took too long, and was ended."""


# -- whoever asks ------------------------------------------------------------------------------------------------


class _Asked:
    """One process, from its start to its end, as the server tells it."""

    def __init__(self, server: str, request: Mapping[str, Any], streams: Sequence[int]) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(server)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))
        self._socket.sendmsg([json.dumps(request).encode()], [rights])
        self.pid = int(self._socket.recv(64))
        self._code: int | None = None

    def poll(self, seconds: float | None = 0) -> int | None:
        """Its exit code (a signal's number below zero), or None after so many seconds."""
        if self._code is None and select.select([self._socket], [], [], seconds)[0]:
            self._code = int(self._socket.recv(64) or -signal.SIGKILL)  # nothing: the server itself was ended
            self._socket.close()
        return self._code

    def kill(self) -> None:
        """End it, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.poll(None)


def python(
    *argv: str,
    env: Mapping[str, str],
    cwd: Path | str | None = None,
    stdin: str = "",
    timeout: float = 600,
) -> subprocess.CompletedProcess[str]:
    """`python ARGV` (`-m MODULE ...` or `-c CODE ...`) to its end. Raises TimedOut, the process ended by then."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        request = {"argv": argv, "env": dict(env), "cwd": str(cwd or Path.cwd()), "session": False}
        asked = _Asked(_server(), request, [given.fileno(), out.fileno(), err.fileno()])
        try:
            code = asked.poll(timeout)
        except BaseException:
            asked.kill()
            raise
        if code is None:
            asked.kill()
            raise TimedOut(argv, timeout, _text(out), _text(err))
        return subprocess.CompletedProcess(argv, code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def end_all() -> None:
    """End every process that was started here and still runs: a run outlives the command that began it."""
    if _server.cache_info().currsize:
        _Asked(_server(), {"end": True}, []).poll(None)


@functools.cache
def _server() -> str:
    """Where the server of this session listens; it ends with this process, and ends what it started."""
    place = tempfile.mkdtemp(prefix="disinto-warm-")
    path = f"{place}/socket"
    held, holds = os.pipe()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(path)
    listening.listen(64)
    argv = [sys.executable, "-m", "tests.support.warm", str(listening.fileno()), str(held), path]
    with listening:
        server = subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=(listening.fileno(), held)
        )
    os.close(held)
    os.set_inheritable(holds, False)

    def end() -> None:
        os.close(holds)
        server.wait()
        Path(path).unlink(missing_ok=True)
        Path(place).rmdir()

    atexit.register(end)
    return path


# -- the server --------------------------------------------------------------------------------------------------


def load() -> None:
    """Everything that a command or a run loads, the terminal UI left out."""
    import disinto_tui

    for floor in ("core", "adapters", "runs", "cli"):
        place = Path(disinto_tui.__file__).parent / floor
        for item in pkgutil.walk_packages([str(place)], f"disinto_tui.{floor}."):
            importlib.import_module(item.name)
    for name in ("aiohttp", "docker", "dotenv", "yaml", "tests.support.kill_run"):
        importlib.import_module(name)


def serve(listening: socket.socket, held: int, path: str) -> None:
    """Fork for every request until nobody holds the other end of `held`; then end what still runs."""
    load()
    gc.freeze()  # what is loaded is not looked at again, and so not copied by every fork
    ended, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who were started
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    living: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listening, held, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _collect(living)
        if held in ready:
            break
        if listening in ready:
            asking = listening.accept()[0]
            text, rights, _, _ = asking.recvmsg(_FRAME, socket.CMSG_SPACE(3 * 4))
            request = json.loads(text)
            if "end" in request:
                asking.send(b"0")
                _end(living)
                asking.send(b"0")
                asking.close()
                continue
            streams = array.array("i")
            streams.frombytes(rights[0][2])
            settled, settles = os.pipe()
            pid = os.fork()
            if pid == 0:
                _become(request, list(streams), path)
            for stream in (*streams, settles):
                os.close(stream)
            # Nothing, when it has closed what it does not need: it leads its session by then.
            os.read(settled, 1)
            os.close(settled)
            living[pid] = asking
            asking.send(str(pid).encode())
    _end(living)


def _collect(living: dict[int, socket.socket], options: int = os.WNOHANG) -> None:
    while living:
        pid, status = os.waitpid(-1, options)
        if pid == 0:
            return
        asking = living.pop(pid)
        with contextlib.suppress(OSError):  # whoever asked need not be there any more
            asking.send(str(os.waitstatus_to_exitcode(status)).encode())
        asking.close()


def _end(living: dict[int, socket.socket]) -> None:
    for pid in living:
        os.kill(pid, signal.SIGKILL)
    _collect(living, 0)


# -- what was forked ---------------------------------------------------------------------------------------------


def _become(request: dict[str, Any], streams: list[int], server: str) -> None:
    """Be the process that was asked for, to its end; does not return."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if request["session"]:
            os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 1024)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        _runs_are_warm(server)
        kind, what, *rest = request["argv"]
        gc.enable()
        if kind == "-m":
            sys.argv = [what, *rest]
            sys.modules.pop(what, None)  # it is run anew, as a program
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.argv = ["-c", *rest]
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(what, "<string>", "exec"), main.__dict__)
        code = 0
    except SystemExit as end:
        code = _exit_code(end.code)
    except BaseException as error:
        traceback.print_exc()
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        if code == -signal.SIGINT:  # so does the interpreter
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(code)


def _exit_code(given: object) -> int:
    if given is None:
        return 0
    if isinstance(given, int):
        return given
    print(given, file=sys.stderr)
    return 1


class _Run:
    """In the place of a `Popen` by which a run's own process is started: a fork of the server, not of us."""

    def __init__(self, server: str, argv: Sequence[str], **options: Any) -> None:
        given, self._given = os.pipe()
        nowhere = os.open(os.devnull, os.O_RDWR)
        err = options["stderr"]
        streams = [given, nowhere, nowhere if err == subprocess.DEVNULL else err.fileno()]
        env = options.get("env")
        request = {
            "argv": argv[1:],
            "env": dict(os.environ if env is None else env),
            "cwd": options["cwd"],
            "session": options["start_new_session"],
        }
        self._asked = _Asked(server, request, streams)
        self.pid = self._asked.pid
        os.close(given)
        os.close(nowhere)
        self.stdin = os.fdopen(self._given, "wb")

    def poll(self) -> int | None:
        return self._asked.poll()


def _runs_are_warm(server: str) -> None:
    from disinto_tui.adapters import process

    def popen(argv: Sequence[str], **options: Any) -> Any:
        warm = list(argv[:3]) == [sys.executable, "-m", "disinto_tui.runs.process"]
        return _Run(server, argv, **options) if warm else subprocess.Popen(argv, **options)

    process.subprocess = types.SimpleNamespace(**{**vars(subprocess), "Popen": popen})  # type: ignore[assignment]


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3])
