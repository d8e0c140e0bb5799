"""The instance directory: its files, replaced without loss; its backups; its lock.

Promise 1: a file is backed up, written to a temporary file beside it, fsynced and renamed; owner, mode and
symlink survive. `.disinto/` (0700) is ours: runs, backups, history, the lock. Nothing else in the directory
is created except what a plan said.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from disinto_tui.adapters.process import boot_id, is_alive, process_start
from disinto_tui.core.errors import BadInput, Failed, Refused

PRIVATE = ".disinto"


@dataclass(frozen=True, slots=True)
class Instance:
    """One directory on one host = one factory. `path` is absolute."""

    path: Path

    @classmethod
    def at(cls, directory: str | Path) -> Instance:
        """The instance at a directory, which need not exist yet."""
        return cls(Path(directory).expanduser().absolute())

    @property
    def env_file(self) -> Path:
        """`.env`: the pin and everything Compose interpolates."""
        return self.path / ".env"

    @property
    def compose_file(self) -> Path:
        """The generated compose file."""
        return self.path / "docker-compose.yml"

    @property
    def override_file(self) -> Path:
        """The operator's own additions; Compose merges it, we never write it."""
        return self.path / "docker-compose.override.yml"

    @property
    def projects(self) -> Path:
        """`projects/*.toml`, one file a project."""
        return self.path / "projects"

    @property
    def private(self) -> Path:
        """Our own directory, 0700."""
        return self.path / PRIVATE

    @property
    def runs(self) -> Path:
        """One directory a run."""
        return self.private / "runs"

    @property
    def exists(self) -> bool:
        """Whether there is a factory here: a compose file or a `.env` of ours."""
        return self.compose_file.exists() or (self.private / "instance.json").exists()

    def compose_files(self) -> tuple[Path, ...]:
        """The files Compose is given: ours, then the override when there is one."""
        found = [self.compose_file]
        if self.override_file.exists():
            found.append(self.override_file)
        return tuple(found)

    def project_files(self) -> list[Path]:
        """The project files, sorted by name; `*.toml.example` never counts as one."""
        return sorted(path for path in self.projects.glob("*.toml") if path.is_file())

    def ensure_private(self) -> Path:
        """Create `.disinto/` (0700) and return it. Raises Failed `disk.*`."""
        with writing(self.private):
            self.private.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.private


def read_bytes(path: Path) -> bytes | None:
    """The file's bytes, or None when it does not exist (a dangling symlink does not, either)."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise BadInput(
            f"{path} cannot be read.",
            f"It should be a file, and the system says: {error.strerror}.",
            "Look at it and at its owner, move away what does not belong there, and try again.",
            code="files.unreadable",
        ) from None


def replace_file(path: Path, data: bytes, *, mode: int | None = None, backup: Path | None = None) -> bool:
    """Replace a file's content so that at any instant the old or the new one is there, whole.

    A symlink is followed and stays; owner and mode are kept (`mode` is for a new file, or to tighten an
    old one). With `backup` the previous bytes go there first (0600). Returns False, touching nothing, when
    content and mode are already so. Raises Failed when the disk refuses.
    """
    real = path.resolve() if path.is_symlink() else path
    try:
        before = os.lstat(real) if real.exists() else None
        wanted = mode if mode is not None else (stat.S_IMODE(before.st_mode) if before else 0o644)
        if before is not None:
            old = real.read_bytes()
            if old == data and stat.S_IMODE(before.st_mode) == wanted:
                return False
            if backup is not None and not backup.exists():
                write_private(backup, old)
        real.parent.mkdir(parents=True, exist_ok=True)
        part = unfinished(real)
        part.unlink(missing_ok=True)  # of a writer that was killed
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), wanted)
                if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    with contextlib.suppress(PermissionError):
                        os.fchown(file.fileno(), before.st_uid, before.st_gid)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(real)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_directory(real.parent)
    except OSError as error:
        raise disk_error(path, error) from None
    return True


def unfinished(path: Path) -> Path:
    """Where `replace_file` writes before it renames. One name a file, so that a kill leaves at most one."""
    return path.with_name(f".{path.name}.new")


def write_private(path: Path, data: bytes) -> None:
    """Write a 0600 file of ours under `.disinto/`, whole or not at all. Raises Failed `disk.*`."""
    with writing(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(path: Path, error: OSError) -> Failed:
    """The three sentences for a file that could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Failed(
        f"{path.name} could not be written.",
        "The disk is full." if full else f"The system says: {error.strerror or error}.",
        "Free some space (`docker system df` shows what images take), then run the same command again."
        if full
        else f"Check the owner and rights of {path.parent}, then run the same command again.",
        code="disk.full" if full else "disk.write",
    )


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which writes `path`, into its three sentences (`disk_error`)."""
    try:
        yield
    except OSError as error:
        raise disk_error(path, error) from None


# -- the lock ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds an instance: enough to show, and to tell a dead holder from a live one."""

    host: str
    user: str
    pid: int
    process_start: float
    boot_id: str
    doing: str
    run_id: str
    since: float

    @property
    def alive(self) -> bool:
        """Whether that process still runs. A holder on another host counts as alive: we cannot know."""
        if self.host != socket.gethostname():
            return True
        return is_alive(self.pid, self.process_start, self.boot_id)


def lock_holder(instance: Instance) -> Holder | None:
    """Who wrote the lock file last, or None. Whether the lock is held, only `lock` knows for sure."""
    data = read_bytes(instance.private / "lock")
    if not data:
        return None
    try:
        return Holder(**json.loads(data))
    except (ValueError, TypeError):
        return None


@contextlib.contextmanager
def lock(instance: Instance, doing: str, run_id: str = "") -> Iterator[None]:
    """Hold the instance: one writer at a time.

    The kernel's lock (flock on `.disinto/lock`) is the truth and dies with its process; the holder's data in
    the file is for people. Raises Refused, naming who holds it and how to watch their run.
    """
    instance.ensure_private()
    path = instance.private / "lock"
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(instance) from None
        me = os.getpid()
        holder = Holder(
            socket.gethostname(), _user(), me, process_start(me), boot_id(), doing, run_id, time.time()
        )
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk: the lock itself needs no room
            os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _user() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def _held(instance: Instance) -> Refused:
    holder = lock_holder(instance)
    if holder is None:
        who = "Another process holds it."
    else:
        minutes = max(0, int(time.time() - holder.since)) // 60
        who = f"{holder.user}@{holder.host}, pid {holder.pid}: `{holder.doing}`, for {minutes} min now."
    return Refused(
        f"{instance.path} is busy.",
        who,
        "Watch it with `disinto attach`, or wait until it is over.",
        code="instance.busy",
    )
