"""The lock of an instance: one writer at a time, and who that is.

The kernel's lock (flock on `.disinto/lock`) is the truth and dies with its process; the holder's data in the file
is for people. A lock that is held although its holder is dead (a child kept the file open, a network file system
kept the lock) is broken by putting another file in its place, so that the old one's lock does not count any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from disinto_tui.adapters.instance import Instance, read_bytes, writing
from disinto_tui.adapters.process import boot_id, is_alive, process_start
from disinto_tui.core.errors import Failed, Refused
from disinto_tui.core.words import age_text

_PATIENCE = 0.25
"""Seconds for which a lock is tried: somebody may be looking at it just now (`probe`)."""
_TICK = 0.02


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds an instance: enough to show, and to tell a dead holder from a live one.

    `since` in unix seconds; `process_start` in ticks since boot; `namespace` and `machine` tell whether pids and
    boots can be compared with ours.
    """

    host: str
    user: str
    pid: int
    process_start: float
    boot_id: str
    doing: str
    run_id: str
    since: float
    namespace: str = ""
    machine: str = ""

    @property
    def name(self) -> str:
        """`user@host`."""
        return f"{self.user}@{self.host}"

    @property
    def life(self) -> Literal["alive", "dead", "unknown"]:
        """Whether that process still runs; "unknown" on another host, or where its pid means something else."""
        if self.host != socket.gethostname():
            return "unknown"
        if self.boot_id != boot_id():
            # Two hosts may share a name; one and the same that was booted since has no such process any more.
            return "dead" if self.machine and self.machine == _machine() else "unknown"
        if self.namespace not in ("", _namespace()):
            return "unknown"
        return "alive" if is_alive(self.pid, self.process_start, self.boot_id) else "dead"

    @property
    def alive(self) -> bool:
        """Whether that process may still run. A holder elsewhere counts as alive: we cannot know."""
        return self.life != "dead"


@dataclass(frozen=True, slots=True)
class Opener:
    """A process that has the lock file open."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})"


@dataclass(frozen=True, slots=True)
class LockState:
    """Whether the lock is held, and by whom.

    held: "free" nobody (`holder` then is one that died without letting go); "live" a process that runs; "dead" it
    is held, and its holder is proved dead; "unknown" it is held, and nobody here can tell. `process` is the one
    that the kernel names; `openers` have the file open. `inode` names the very file that was looked at.
    """

    held: Literal["free", "live", "dead", "unknown"]
    holder: Holder | None = None
    process: Opener | None = None
    openers: tuple[Opener, ...] = ()
    inode: int = 0


def lock_path(instance: Instance) -> Path:
    """The file the kernel's lock is on."""
    return instance.private / "lock"


def lock_holder(instance: Instance) -> Holder | None:
    """Who wrote the lock file last, or None. Whether the lock is held, only `lock` and `probe` know for sure."""
    data = read_bytes(lock_path(instance))
    if not data:
        return None
    try:
        return Holder(**json.loads(data))
    except (ValueError, TypeError):
        return None


@contextlib.contextmanager
def lock(instance: Instance, doing: str, run_id: str = "") -> Iterator[None]:
    """Hold the instance: one writer at a time.

    Raises Refused `instance.busy` or `instance.lock_left`, naming who holds it and how to watch their run or how
    to break what a dead process left; Failed when the file system has no locks.
    """
    instance.ensure_private()
    descriptor = _locked(instance)
    try:
        me = os.getpid()
        holder = Holder(
            socket.gethostname(),
            _user(),
            me,
            process_start(me),
            boot_id(),
            doing,
            run_id,
            time.time(),
            _namespace(),
            _machine(),
        )
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk: the lock itself needs no room
            os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _locked(instance: Instance) -> int:
    """An open, locked lock file that is the one under its name. Close-on-exec: no child ever keeps the lock."""
    path = lock_path(instance)
    end = time.monotonic() + _PATIENCE
    while True:
        with writing(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _try(descriptor, fcntl.LOCK_EX, path):
            if _is(path, descriptor):
                return descriptor
            os.close(descriptor)  # it was broken, and another file is the lock now
            continue
        os.close(descriptor)
        if time.monotonic() >= end and (state := probe(instance)).held != "free":
            raise held_error(instance, state)
        time.sleep(_TICK)


def _try(descriptor: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        os.close(descriptor)
        raise Failed(
            f"{path} cannot be locked.",
            f"The system says: {error.strerror or error}.",
            "The instance must be on a file system with locks (a network one needs its lock service), "
            "else two operators could write at once.",
            code="instance.no_locks",
        ) from None
    return True


def _is(path: Path, descriptor: int) -> bool:
    mine = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def probe(instance: Instance) -> LockState:
    """Look at the lock without taking it. Never raises Refused; Failed when the file system has no locks."""
    path = lock_path(instance)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return LockState("free")
    except OSError:
        return LockState("unknown", lock_holder(instance))
    try:
        inode = os.fstat(descriptor).st_ino
        if _try(descriptor, fcntl.LOCK_SH, path):
            return LockState("free", lock_holder(instance), inode=inode)
        process = _kernels_word(path, os.fstat(descriptor))
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    holder = lock_holder(instance)
    if process is not None:
        # Data of somebody else is a dead one's, who was followed by a process that had no room to write its own.
        mine = holder is not None and holder.pid == process.pid
        return LockState("live", holder if mine else None, process, inode=inode)
    if holder is None:
        return LockState("unknown", openers=_openers(path), inode=inode)
    if holder.life == "alive":
        return LockState("live", holder, Opener(holder.pid, holder.doing), inode=inode)
    held: Literal["dead", "unknown"] = "dead" if holder.life == "dead" else "unknown"
    return LockState(held, holder, None, _openers(path), inode)


def _kernels_word(path: Path, file: os.stat_result) -> Opener | None:
    """The live process whose flock it is, from /proc/locks: where the kernel goes on listing the pid that took a
    lock after that process is dead and a child of its own keeps it (observed, 6.18)."""
    wanted = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    with contextlib.suppress(OSError, IndexError, ValueError):
        for line in Path("/proc/locks").read_text().splitlines():
            parts = line.split()
            if parts[1] == "FLOCK" and parts[5] == wanted:
                pid = int(parts[4])
                return Opener(pid, _command(pid)) if process_start(pid) and _has_open(pid, path) else None
    return None


def _openers(path: Path) -> tuple[Opener, ...]:
    """Processes, as far as this user may look, that have the file open."""
    pids = (int(process.name) for process in Path("/proc").glob("[0-9]*"))
    mine = os.getpid()
    return tuple(
        Opener(pid, _command(pid)) for pid in pids if pid != mine and _has_open(pid, path, unsure=False)
    )


def _has_open(pid: int, path: Path, *, unsure: bool = True) -> bool:
    """Whether a process has the file open; `unsure` when this user may not look."""
    try:
        wanted = path.stat()
        for item in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                one = item.stat()
                if (one.st_dev, one.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    except PermissionError:
        return unsure
    except OSError:
        return False
    return False


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        # The program and what it is told to do first: an argument list may be long.
        return " ".join(word.decode(errors="replace") for word in words[:4]) or "?"
    return "?"


def break_lock(instance: Instance, state: LockState, *, vouched: str = "") -> bool:
    """Put another file in the lock's place; False when it is free by now, so that nothing had to be done.

    `state` is what was shown to the operator; `vouched` the holder's name, given by an operator who says that it is
    dead. The dead holder's data stays in the new file, so that its run is still offered to be finished. Raises
    Refused when the holder lives, changed meanwhile, or nobody vouched for one that cannot be looked at.
    """
    path = lock_path(instance)
    directory = os.open(instance.private, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # two who break at once would each get a lock of their own
        now = probe(instance)
        if now.held == "free":
            return False
        if now.held == "live" or (now.inode, now.holder) != (state.inode, state.holder):
            raise held_error(instance, now)
        if now.held == "unknown" and (not vouched or vouched != name_of(now)):
            raise held_error(instance, now)
        part = path.with_name("lock.new")
        with writing(path):
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(asdict(now.holder)).encode() if now.holder is not None else b"")
            part.replace(path)
        return True
    finally:
        os.close(directory)


def name_of(state: LockState) -> str:
    """What an operator calls the holder by: `user@host`, or "unknown" when it left no name."""
    return state.holder.name if state.holder is not None else "unknown"


def held_error(instance: Instance, state: LockState) -> Refused:
    """The three sentences for a lock that is held, by who holds it."""
    holder = state.holder
    if state.held == "dead" and holder is not None:
        kept = f", and {', '.join(map(str, state.openers))} keeps its file open" if state.openers else ""
        return Refused(
            f"{instance.path} is locked by a process that is dead.",
            f"{_who(holder)}; it died without letting go{kept}.",
            "`disinto unlock` breaks the lock; `disinto resume` then finishes or takes back what was under way.",
            code="instance.lock_left",
        )
    if state.held == "unknown":
        why = (
            f"{_who(holder)}; nobody on this host can tell whether it lives" if holder else "It left no name"
        )
        opened = f" (open in {', '.join(map(str, state.openers))})" if state.openers else ""
        return Refused(
            f"{instance.path} is busy.",
            f"{why}{opened}.",
            f"Wait until it is over; if you know that it is dead, `disinto unlock {name_of(state)}` says so.",
            code="instance.busy",
        )
    watch = f"Watch it with `disinto attach {holder.run_id}`, or wait" if holder and holder.run_id else "Wait"
    return Refused(
        f"{instance.path} is busy.",
        f"{_who(holder)}." if holder else f"{state.process or 'Another process'} holds it.",
        f"{watch} until it is over.",
        code="instance.busy",
    )


def _who(holder: Holder) -> str:
    ago = age_text(max(0.0, time.time() - holder.since))
    return f"{holder.name}, pid {holder.pid}: `{holder.doing}`, for {ago} now"


def _user() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
