"""A switch with `disinto use` / the same by hand, and how long the agents are away, on a factory that runs.

    python -m bench.switch [--rounds 5] [--payload-kib 2048] [--probe 1]

The factory is made with `disinto init`, on a registry and a forge double on loopback. Its agents are probed every
second, as their image asks for, by an override: the stack's own two seconds would be in both, and flatter the ratio.
Between two versions of the sample image, in turns:

ours      `disinto use VERSION --yes --soak 0`, from its start to its end. Soaking is a wait that by hand nobody does.
by hand   One shell: `sed` of .env, `docker compose pull agents`, `docker compose up -d --no-deps agents`, and
          `docker inspect` ten times a second until healthy. Nothing is typed and nobody thinks: the best a human
          could do. The new image's first probe, a second after its start, is in both.
pulled    `docker compose up -d` with the image pulled before and .env changed before: the yardstick of downtime.

Before each of them the version that comes is removed from the engine, under every name it has (a switch keeps the
one that it left), so that ours and by hand pull the same bytes; the layers that both versions share stay.

Downtime is what the engine itself says: from the `die` of the old agents container to the `start` of the new one,
in its clock's nanoseconds, from a stream of its events that was opened before the first switch. Inspecting would
be too late (the old container, and with it FinishedAt, is removed by then), and so would asking for past events:
the engine remembers 256 of all containers, and every health probe of everybody is three. It is not the time until
the new one is healthy: that is the image's own.

Needs an engine and docker-registry.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench.ground import engine
from bench.measure import Context, NotMeasured, Row, Timed, ratio_row, seconds, table, take_turns
from bench.startup import command
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import list_runs
from disinto_tui.runs.ops_keep import KEEP_REPOSITORY
from tests.support.engine import Engine
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state
from tests.support.processes import poll, running
from tests.support.registries import open_registry, push_samples, push_stand_ins, registry_binary

VERSIONS = ("v0.1.0", "v0.2.0")
PAYLOAD_KIB = 2048
SWITCH, DOWNTIME = 1.1, 1.15
"""The budgets."""
WITHIN = 120.0
"""Seconds after which one command has failed; none takes ten."""
PROBE = 1.0
"""Seconds between two probes of the agents' health."""
_EVENTS = ("die", "start")


def carry_out(argv: Sequence[str], env: Mapping[str, str], directory: Path) -> None:
    """Run it in a session of its own. Interrupted, it is asked to stop (a switch goes back then), and waited for."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        # Not wait(timeout), which looks every 50 ms: that much would be in every measurement.
        late = threading.Timer(WITHIN, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        try:
            code = process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            late.cancel()
        if code:
            said.seek(0)
            raise RuntimeError(f"{shlex.join(argv[-6:])} ended with {code}: {said.read()[-1500:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what was started, and what it started in its own session."""
    for number, patience in ((signal.SIGINT, 30), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


@dataclass
class Ground:
    """A factory that runs, and the ways to switch it. `events` is the file that the engine's events go to."""

    engine: Engine
    factory: Factory
    repository: str
    events: Path

    def __post_init__(self) -> None:
        self._switches = count()
        self.downtime = 0.0
        """Of the last switch, seconds."""

    @property
    def container(self) -> str:
        return f"{self.factory.project}-agents"

    def env(self) -> dict[str, str]:
        return self.factory.cli.environment()

    # -- three ways ------------------------------------------------------------------------------------------

    def ours(self, version: str) -> float:
        argv = [*command(), "--dir", str(self.factory.directory), "use", version, "--yes", "--soak", "0"]
        return seconds(lambda: carry_out(argv, self.env(), self.factory.directory))

    def by_hand(self, version: str) -> float:
        script = f"""
            {self._sed(version)}
            docker compose pull agents
            docker compose up -d --no-deps agents
            until [ "$(docker inspect -f '{{{{.State.Health.Status}}}}' {self.container})" = healthy ]; do
                sleep 0.1
            done
        """
        return seconds(lambda: carry_out(["sh", "-euc", script], self.env(), self.factory.directory))

    def pulled(self, version: str) -> float:
        before = f"{self._sed(version)}\ndocker compose pull agents"
        carry_out(["sh", "-euc", before], self.env(), self.factory.directory)
        up = ["docker", "compose", "up", "-d"]
        return seconds(lambda: carry_out(up, self.env(), self.factory.directory))

    def _sed(self, version: str) -> str:
        return f"sed -i 's|^AGENTS_IMAGE=.*|AGENTS_IMAGE={self.repository}:{version}|' .env"

    # -- around each ------------------------------------------------------------------------------------------

    def switch(self, way: Callable[[str], float]) -> float:
        """Switch to the other version in one of the three ways; seconds it took."""
        version = VERSIONS[next(self._switches) % 2]  # a new factory runs the second one
        self._remove(version)
        seen = len(self._gaps())
        took = way(version)
        if not poll(30, lambda: self._healthy(version)):
            raise RuntimeError(f"{self.container} did not become healthy on {version}")
        if not poll(5, lambda: len(self._gaps()) > seen):
            raise RuntimeError(f"{self.container} was not seen to be replaced")
        self.downtime = self._gaps()[-1]
        return took

    def run_seconds(self) -> float:
        """How long the newest run took by its own journal, from its first event to its last."""
        events = list_runs(Instance.at(self.factory.directory))[0].events()
        return events[-1].at - events[0].at

    def _healthy(self, version: str) -> bool:
        form = "{{.Config.Image}} {{.State.Health.Status}}"
        said = self.engine.docker("inspect", "-f", form, self.container, check=False).stdout
        return said.split() == [f"{self.repository}:{version}", "healthy"]

    def _remove(self, version: str) -> None:
        """By id and with force, so with every name; the payload is this session's own, so nobody else has it."""
        kept = f"{KEEP_REPOSITORY}/{self.factory.project}"
        listed = self.engine.docker(
            "image", "ls", kept, "--format", "{{.Repository}}:{{.Tag}}"
        ).stdout.split()
        for name in (
            f"{self.repository}:{version}",
            *(n for n in listed if n.startswith(f"{kept}:{version}-")),
        ):
            identity = self.engine.docker("image", "inspect", "-f", "{{.Id}}", name, check=False).stdout
            if identity.strip():
                self.engine.docker("rmi", "-f", identity.strip())

    def _gaps(self) -> list[float]:
        """Seconds between the end of an agents container and the start of the next one, all so far."""
        gaps: list[float] = []
        ended: tuple[int, str] | None = None
        for line in self.events.read_text().splitlines():
            at, what, identity = line.split(maxsplit=2)
            if what == "die":
                ended = int(at), identity
            elif ended is not None and identity != ended[1]:
                gaps.append((int(at) - ended[0]) / 1e9)
                ended = None
        return gaps


def _override(probe: float) -> str:
    every = f"{probe:g}s"
    return (
        f"services: {{agents: {{healthcheck: {{start_period: {every}, interval: {every}, retries: 3}}}}}}\n"
    )


def _settled(directory: Path) -> None:
    """Wait until no run works on the instance: it is a process of its own and survives whoever watched it."""
    lock = directory / ".disinto" / "lock"

    def free() -> bool:
        try:
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        return True

    if not poll(40, free):
        with contextlib.suppress(ValueError, KeyError, ProcessLookupError):
            os.kill(int(json.loads(lock.read_bytes())["pid"]), signal.SIGKILL)
        poll(5, free)


def _clean(found: Engine, address: str) -> None:
    """Containers, volumes, networks, kept names, and then what was pulled from our registry."""
    found.sweep()
    pulled = [name for name in found.references() if name.startswith(f"{address}/")]
    if pulled:
        found.docker("rmi", *pulled, check=False)


@contextlib.contextmanager
def ground(base: Path, payload_kib: int = PAYLOAD_KIB, probe: float = PROBE) -> Iterator[Ground]:
    """A factory on the second version, running and healthy. Raises NotMeasured without an engine."""
    if registry_binary() is None:
        raise NotMeasured("docker-registry is not installed (docker/engine/up.sh docker-registry)")
    with contextlib.ExitStack() as ending:
        found = ending.enter_context(engine())
        address = ending.enter_context(open_registry(base / "registry")).address
        ending.callback(_clean, found, address)
        project, path = f"{found.prefix}-switch", f"{found.prefix}/agents"
        # Of a size that no other session has: else the image is theirs too, and stays when it is removed here.
        payload = ["--payload-kib", str(payload_kib + int(found.session, 16) % 1000)]
        push_samples(address, VERSIONS, repository=path, options=payload)
        forge = ending.enter_context(ForgeDouble(default_state()))
        text = config_text(
            project, f"{address}/{path}", forge.url, push_stand_ins(address), version=VERSIONS[1]
        )
        home = base / "home"
        home.mkdir()
        factory = new_factory(home, found.endpoint, project, text)
        factory.directory.mkdir()
        (factory.directory / "docker-compose.override.yml").write_text(_override(probe))
        ending.callback(_settled, factory.directory)
        events = base / "events"
        filters = [
            f"label=com.docker.compose.project={project}",
            "label=com.docker.compose.service=agents",
            *(f"event={name}" for name in _EVENTS),
        ]
        listen = [
            "docker",
            "--host",
            found.endpoint,
            "events",
            "--format",
            "{{.TimeNano}} {{.Action}} {{.Actor.ID}}",
        ]
        listen += [part for one in filters for part in ("--filter", one)]
        ending.enter_context(running(listen, events, lambda: True))
        init = [*command(), "--dir", str(factory.directory), "init", str(factory.config)]
        init += ["--token-file", str(factory.token), "--yes"]
        carry_out(init, factory.cli.environment(), home)
        one = Ground(found, factory, f"{address}/{path}", events)
        if not poll(10, lambda: bool(events.read_text())):
            raise RuntimeError("the engine says nothing of its containers' starts")
        yield one


def switches(one: Ground, rounds: int) -> Iterator[Row]:
    ways = {"ours": one.ours, "by hand": one.by_hand, "pulled": one.pulled}
    away: dict[str, list[float]] = {how: [] for how in ways}
    runs: list[float] = []

    def noting(how: str) -> Timed:
        def timed() -> float:
            took = one.switch(ways[how])
            away[how].append(one.downtime)
            if how == "ours":
                runs.append(one.run_seconds())
            return took

        return timed

    took = take_turns(rounds, {how: noting(how) for how in ways})
    gaps = {how: found[1:] for how, found in away.items()}  # the first is for the caches
    yield ratio_row("a switch, image not yet local", took["ours"], took["by hand"], "by hand", SWITCH)
    # Where a budget that is missed goes: the plan and the start of the run's process, or the steps.
    alone = "the same, its run alone (after the plan)"
    yield ratio_row(alone, runs[1:], took["by hand"], "by hand")
    what, name = "the agents' downtime in a switch", "up -d, image pulled before"
    yield ratio_row(what, gaps["ours"], gaps["pulled"], name, DOWNTIME)


def measure(context: Context) -> Iterator[Row]:
    base = context.directory / "switch"
    base.mkdir()
    with ground(base) as one:
        yield from switches(one, max(5, context.rounds))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--payload-kib", type=int, default=PAYLOAD_KIB, help="what there is to pull")
    parser.add_argument("--probe", type=float, default=PROBE, help="seconds between probes of their health")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with (
            tempfile.TemporaryDirectory(prefix="disinto-bench-") as name,
            ground(Path(name), given.payload_kib, given.probe) as one,
        ):
            print(table(list(switches(one, given.rounds))))
    except NotMeasured as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
