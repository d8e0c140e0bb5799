"""The instance directory: its files, replaced without loss; its backups.

Promise 1: a file is backed up, written to a temporary file beside it, fsynced and renamed; owner, mode and
symlink survive. `.disinto/` (0700) is ours: runs, backups, history, the lock. Nothing else in the directory
is created except what a plan said.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from disinto_tui.core.errors import BadInput, Failed

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
    def sealed_env_file(self) -> Path:
        """`.env.enc`: the same, encrypted by sops; in place of `.env`, never beside it."""
        return self.path / ".env.enc"

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


def save_file(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a file of any size, a piece at a time; its size in bytes. The old content or the new is there, never half.

    A symlink is followed and stays; a file that is replaced keeps its mode, a new one has what the umask leaves.
    Raises Failed when the disk refuses, or when something that is no file has the name (a device, a pipe).
    """
    real = path.resolve() if path.is_symlink() else path
    with writing(path):
        before = real.stat() if real.exists() else None
        if before is not None and not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EEXIST, "it is no ordinary file")
        part = unfinished(real)
        part.unlink(missing_ok=True)  # of a writer that was killed
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if before is not None:
                    os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
                file.writelines(pieces)
                size = file.tell()
                file.flush()
                os.fsync(file.fileno())
            part.replace(real)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_directory(real.parent)
    return size


def unfinished(path: Path) -> Path:
    """Where a file is written before it gets its name. One name a file, so that a kill leaves at most one."""
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
