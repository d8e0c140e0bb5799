"""Child processes of the tests: begun here, ended here by id, waited for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_PORTS = range(20_000, 32_000)
"""Below what the kernel gives to connections (`ip_local_port_range`, 32768 on): none of them takes one meanwhile."""
_held: list[int] = []


def free_port() -> int:
    """A loopback port nobody listens on, this process's until it ends.

    A factory binds its ports long after they were chosen, and tests run beside one another: a port that is only free
    is soon another's. So each is claimed, by a lock on a file named after it that goes with the process.
    """
    claims = Path(tempfile.gettempdir()) / f"disinto-test-ports-{os.getuid()}"
    claims.mkdir(mode=0o700, exist_ok=True)
    for port in random.SystemRandom().sample(_PORTS, 200):
        claim = os.open(claims / str(port), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as one:
                one.bind(("127.0.0.1", port))
        except OSError:
            os.close(claim)
            continue
        _held.append(claim)
        return port
    raise RuntimeError("there is no free port among two hundred")


def poll(seconds: float, ready: Callable[[], bool]) -> bool:
    """Ask every 50 ms until it is so or the time is over; every 200 ms when it takes longer than a second, since
    asking `docker` costs as much as the pause."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        if ready():
            return True
        time.sleep(0.05 if waited < 1 else 0.2)
    return ready()


@contextlib.contextmanager
def running(
    argv: Sequence[str], log: Path, ready: Callable[[], bool], seconds: float = 120
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
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
