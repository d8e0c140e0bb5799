"""Child processes of the tests: begun here, ended here by id, waited for."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def poll(seconds: float, ready: Callable[[], bool]) -> bool:
    """Ask every 50 ms until it is so or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return True
        time.sleep(0.05)
    return ready()


@contextlib.contextmanager
def running(
    argv: Sequence[str], log: Path, ready: Callable[[], bool], seconds: float = 10
) -> Iterator[subprocess.Popen[bytes]]:
    """A server for the length of a `with`: entered when it answers, ended by its own id."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        if not poll(seconds, lambda: process.poll() is not None or ready()) or process.poll() is not None:
            raise RuntimeError(f"{argv[0]} did not come up: {log.read_text(errors='replace')[-2000:]}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
