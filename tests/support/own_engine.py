"""An engine of a test's own, to be killed, stopped and filled up: it shares nothing with the one others use.

A dockerd with its own data (on a small tmpfs), its own socket, runtime directory, containerd and default bridge. It
makes no firewall rule, so the shared engine does not notice it. Ended by process id; what it mounted is unmounted, and
it is an error when something of it is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.engine import ROOT, Engine
from tests.support.processes import poll

STARTS_WITHIN = 90.0
"""Seconds; it takes half a second on an idle machine, and these machines are seldom idle."""


def daemon_binary() -> str | None:
    """dockerd, which Debian keeps where an ordinary PATH may not look."""
    return shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")


def impossible() -> str:
    """Why no engine can be started by whoever runs the tests; "" when one can."""
    if os.geteuid() != 0:
        return "only root can start an engine of its own"
    return "" if daemon_binary() else "there is no dockerd on this machine"


_PREFIX = "disinto-own-"


def _bridge_call(request: int, name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, request, name.encode() + b"\0")


def make_bridge(name: str) -> None:
    """A network bridge (SIOCBRADDBR; a minimal system has no `ip`); one that is there already will do."""
    with contextlib.suppress(FileExistsError):
        _bridge_call(0x89A0, name)


def remove_bridge(name: str) -> None:
    """Take it down and away (SIOCSIFFLAGS, SIOCBRDELBR), if it is there."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", name.encode(), 0))
        fcntl.ioctl(any_socket, 0x89A1, name.encode() + b"\0")


class SmallDisk:
    """A tmpfs of a few megabytes at `path`, and a file that takes all of it but a little."""

    def __init__(self, path: Path, mib: int) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(path):  # it is, of an engine whose session was killed
            options = f"size={mib}m,mode=755"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
        self._filler = path / "filler"

    @property
    def free(self) -> int:
        """Bytes that can still be written."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Leave that many bytes (whole pages) free."""
        descriptor = os.open(self._filler, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while (take := self.free - leave) > 0:
                with contextlib.suppress(OSError):  # somebody wrote meanwhile: count again
                    os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, take)
        finally:
            os.close(descriptor)

    def relieve(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink(missing_ok=True)

    def end(self) -> None:
        """Unmount it, and whatever was mounted under it."""
        unmount(self.path)


def mounts_under(directory: Path) -> list[str]:
    """Mount points at or under a directory, the deepest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point == str(directory) or point.startswith(f"{directory}/"):
            found.append(point)
    return sorted(found, key=len, reverse=True)


def unmount(directory: Path) -> None:
    """Unmount everything at and under a directory; what is busy for a moment goes as soon as it is not."""
    for point in mounts_under(directory):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


class OwnEngine:
    """Started, killed, stopped and started again; `engine` speaks with it. What belongs to its test may live in
    its directory: it goes with it."""

    def __init__(
        self, directory: Path, session: str, *, mib: int, environment: Mapping[str, str] = {}
    ) -> None:
        self._environment = {**os.environ, "GOGC": "400", **environment}
        self.directory = directory
        self.disk = SmallDisk(directory / "data", mib)
        self.endpoint = f"unix://{directory}/socket"
        compose = subprocess.run(
            ["docker", "compose", "version", "--short"], capture_output=True, text=True, check=False
        )
        self.engine = Engine(self.endpoint, "", compose.stdout.strip(), session)
        self._bridge = f"dsnt-{directory.name[-8:]}"  # a name has fifteen characters at most
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether its dockerd runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        binary = daemon_binary()
        assert binary and not self.alive
        self._forget_dead()
        make_bridge(self._bridge)
        argv = [
            binary,
            *("--data-root", str(self.disk.path), "--exec-root", str(self.directory / "exec")),
            *("--pidfile", str(self.directory / "pid"), "--host", self.endpoint),
            # A bridge of its own: told to have none, dockerd removes docker0, which is the shared engine's.
            *("--bridge", self._bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false"),
            # No pool of addresses either: with one, a dockerd that is started again removes docker0, too. What the
            # host routes already, another engine's networks among it, is left out anyway.
            # A registry that broke off is asked once more after 5 s, not four times within 75.
            "--max-download-attempts=2",
            # A filter of system calls costs every health check 20 ms of a processor; see up.sh.
            *("--seccomp-profile", str(ROOT / "docker/engine/unfiltered.json")),
        ]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )
        if not poll(STARTS_WITHIN, lambda: self._answers() or not self.alive) or not self.alive:
            raise RuntimeError((self.directory / "log").read_text(errors="replace")[-3000:])

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out. Containers live on until it is started again."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as a restart of the service does: it stops its containers first."""
        self._end(signal.SIGTERM)

    def end_containers(self) -> None:
        """Containers and networks away; a daemon that was ended is started for it."""
        if not self.alive:
            self.start()  # only a dockerd can end in order what a killed one left
        containers = self.engine.ids("container")
        if containers:
            self.engine.docker("rm", "-fv", *containers, check=False)
        networks = self.engine.ids("network", "type=custom")
        if networks:
            self.engine.docker("network", "rm", *networks)

    def end(self) -> None:
        """Everything away: containers, networks, dockerd, what it mounted, its directory."""
        try:
            self.end_containers()
            self.stop()
        finally:
            self.end_leftovers()
            remove_bridge(self._bridge)
            unmount(self.directory)
            shutil.rmtree(self.directory, ignore_errors=True)
        assert not mounts_under(self.directory) and not self.directory.exists()
        assert not self._processes()

    def _answers(self) -> bool:
        return self.engine.docker("version", check=False).returncode == 0

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _forget_dead(self) -> None:
        """A killed dockerd takes its containerd along; where nobody collects that process the next dockerd
        would take it for alive, and wait for it (observed)."""
        for name in ("pid", "exec/containerd/containerd.pid"):
            file = self.directory / name
            with contextlib.suppress(FileNotFoundError, ValueError):
                number = int(file.read_text())
                assert poll(120, lambda number=number: number not in self._processes())  # type: ignore[misc]
                file.unlink()

    def _processes(self) -> list[int]:
        """Processes that carry our directory in their arguments: dockerd, containerd, shims. A dead one that
        nobody has collected has no arguments any more."""
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if f"{self.directory}/".encode() in file.read_bytes():
                    found.append(int(file.parent.name))
        return found

    def end_leftovers(self) -> None:
        """End every process of it, however it was started."""
        for number in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        poll(120, lambda: not self._processes())


@contextlib.contextmanager
def own_engine(session: str, *, mib: int, environment: Mapping[str, str] = {}) -> Iterator[OwnEngine]:
    """An engine for the length of a `with`, its data on a disk of `mib` MiB; `environment` is its daemon's, too."""
    # Not pytest's own directory: a socket's path has room for some hundred characters only.
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{session}-"))
    own = OwnEngine(directory, session, mib=mib, environment=environment)
    shared = Path("/sys/class/net/docker0").exists()
    try:
        own.start()
        yield own
    finally:
        own.end()
    assert Path("/sys/class/net/docker0").exists() or not shared, "the shared engine has lost its bridge"


def end_engines(session: str) -> None:
    """End the engines that a session left which was killed: each is started once more, to end in order."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}{session}-*"):
        own = OwnEngine(directory, session, mib=1)
        own.end_leftovers()
        own.end()
