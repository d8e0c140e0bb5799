"""Two operators: one holds the instance, the other learns who, and what a dead one left is broken and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from disinto_tui.adapters import lock as module
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.lock import Holder, break_lock, lock, lock_holder, lock_path, probe
from disinto_tui.adapters.process import Command, run, spawn_detached
from disinto_tui.core.errors import BadInput, Failed, Refused
from disinto_tui.runs.holder import describe, release
from tests.support.processes import poll

HOLD = """
import os, subprocess, sys, time
from disinto_tui.adapters import lock as module
from disinto_tui.adapters.instance import Instance
instance = Instance.at(sys.argv[1])
if "keep" in sys.argv:  # a child that has the lock file open, as none of ours ever has
    real = module._locked
    def locked(instance):
        descriptor = real(instance)
        child = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
        print(child.pid, flush=True)
        return descriptor
    module._locked = locked
with module.lock(instance, "disinto use", "20260101-000000-use-0000"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def holder(instance: Instance, *how: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds the instance, and the pid of its child when it `keep`s one."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(instance.path), *how], stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        child = int(one.stdout.readline()) if how else 0
        assert one.stdout.readline() == "held\n"
        try:
            yield one, child
        finally:
            one.kill()
            if child:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, 9)


def held(instance: Instance) -> Refused:
    with pytest.raises(Refused) as caught, lock(instance, "disinto down"):
        pass
    return caught.value


def rewrite(instance: Instance, **changes: object) -> Holder:
    """Let the holder's data say something else."""
    found = lock_holder(instance)
    assert found is not None
    other = replace(found, **changes)  # type: ignore[arg-type]
    lock_path(instance).write_text(json.dumps(asdict(other)))
    return other


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance.at(tmp_path)


def test_two_operators_at_once_the_second_is_told_who_the_first_is(instance: Instance) -> None:
    with lock(instance, "disinto up", "run-1"):
        with pytest.raises(Refused) as caught, lock(instance, "disinto down"):
            pass
        assert caught.value.code == "instance.busy"
        assert "disinto up" in caught.value.why
        holder = lock_holder(instance)
        assert holder is not None
        assert holder.alive
        assert holder.run_id == "run-1"
    with lock(instance, "disinto down"):
        pass


def test_a_live_holder_is_named_and_never_broken(instance: Instance) -> None:
    with holder(instance) as (process, _):
        error = held(instance)
        assert error.code == "instance.busy"
        assert f"pid {process.pid}: `disinto use`" in error.why
        assert "disinto attach 20260101-000000-use-0000" in error.now
        state = probe(instance)
        assert (state.held, state.process and state.process.pid) == ("live", process.pid)
        view = describe(instance)
        assert (view.state, view.pid, view.doing, view.breakable) == (
            "busy",
            process.pid,
            "disinto use",
            "no",
        )
        for vouched in ("", view.name):
            with pytest.raises(Refused):
                release(instance, vouched=vouched)
        assert probe(instance).held == "live"


def test_looking_takes_nothing_from_who_wants_to_write(instance: Instance) -> None:
    """While somebody looks again and again, `lock` always succeeds."""
    with lock(instance, "first"):
        pass
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            describe(instance)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(50):
            with lock(instance, "disinto up"):
                pass
    finally:
        over.set()
        looker.join()


def test_a_killed_holder_holds_nothing_and_its_data_tells(instance: Instance) -> None:
    with holder(instance) as (process, _):
        process.kill()
        process.wait()
        state = probe(instance)
        assert state.held == "free"
        assert state.holder is not None
        assert state.holder.pid == process.pid
        assert describe(instance).state == "free"  # no such run is left half-way
        assert release(instance).state == "free"
        with lock(instance, "disinto down"):
            pass
        assert lock_holder(instance) is None


def test_a_child_that_keeps_a_dead_ones_lock_is_named_and_the_lock_broken(instance: Instance) -> None:
    with holder(instance, "keep") as (process, child):
        assert probe(instance).held == "live"
        process.kill()
        process.wait()
        error = held(instance)
        assert error.code == "instance.lock_left"
        assert f"pid {process.pid}" in error.why
        assert f"pid {child} (sleep 60)" in error.why
        assert "disinto unlock" in error.now
        view = describe(instance)
        assert (view.state, view.breakable) == ("left", "yes")
        assert release(instance).state == "left"
        assert poll(1, lambda: Path(f"/proc/{child}").exists())  # it was not touched
        state = probe(instance)
        assert state.held == "free"
        assert state.holder is not None  # whose run may still be finished
        with lock(instance, "disinto down"):
            assert probe(instance).held == "live"


@pytest.mark.parametrize(
    ("changes", "held_as"),
    [
        ({"host": "another"}, "unknown"),
        ({"boot_id": "before", "machine": ""}, "unknown"),
        ({"boot_id": "before"}, "dead"),
        ({"namespace": "pid:[1]"}, "unknown"),
    ],
)
def test_a_holder_elsewhere_is_broken_only_by_name(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], held_as: str
) -> None:
    """As on a network file system: the kernel here names nobody. A boot before this one's is proof of death."""
    monkeypatch.setattr(module, "_kernels_word", lambda *_: None)
    monkeypatch.setattr(module, "_machine", lambda: "m")
    with holder(instance):
        name = rewrite(instance, **{"machine": "m", **changes}).name
        state = probe(instance)
        assert state.held == held_as
        if held_as == "unknown":
            error = held(instance)
            assert error.code == "instance.busy"
            assert "nobody on this host can tell" in error.why
            assert f"disinto unlock {name}" in error.now
            with pytest.raises(Refused):
                release(instance)
            with pytest.raises(BadInput):
                release(instance, vouched="somebody@else")
        assert release(instance, vouched=name).name == name
        with lock(instance, "disinto down"):
            pass


def test_a_lock_that_changed_hands_meanwhile_is_not_broken(instance: Instance) -> None:
    with holder(instance, "keep") as (process, _):
        process.kill()
        process.wait()
        state = probe(instance)
        assert state.held == "dead"
        assert break_lock(instance, state)
        assert not break_lock(instance, state)  # it is free by now
        with lock(instance, "disinto down"), pytest.raises(Refused):
            break_lock(instance, state)


def test_who_waited_for_a_broken_lock_does_not_get_it(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it, the file is replaced: the lock is the one under the name."""
    with lock(instance, "first"):
        pass
    real, calls = module._try, []

    def replaced(descriptor: int, kind: int, path: Path) -> bool:
        if not calls:
            calls.append(1)
            other = path.with_name("other")
            other.touch()
            other.replace(path)
        return real(descriptor, kind, path)

    monkeypatch.setattr(module, "_try", replaced)
    with lock(instance, "second"):
        monkeypatch.undo()
        assert held(instance).code == "instance.busy"


def test_a_file_system_without_locks_is_said(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", none)
    with pytest.raises(Failed) as caught, lock(instance, "disinto up"):
        pass
    assert caught.value.code == "instance.no_locks"
    assert "No locks available" in caught.value.why


async def test_no_child_inherits_the_lock(instance: Instance, tmp_path: Path) -> None:
    """Neither a command's process nor a run's own."""
    out = tmp_path / "out"
    script = (
        "import os, sys\n"
        "names = [n for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')]\n"
        "print([os.readlink(f'/proc/self/fd/{n}') for n in names], file=sys.stderr)"
    )
    argv = (sys.executable, "-c", script)
    with lock(instance, "disinto up"):
        result = await run(Command(argv, writes=False))
        pid = spawn_detached(argv, stderr_to=out, private={}, cwd=str(tmp_path))
        os.waitpid(pid, 0)
    assert str(lock_path(instance)) not in result.stderr + out.read_text()
    assert "[" in result.stderr
