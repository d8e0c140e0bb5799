"""On a terminal: watch who holds the instance, finish after who died, break what a dead one left."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.ptykit import Terminal, terminal
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import list_runs, run_status
from disinto_tui.adapters.lock import lock_holder, lock_path
from tests.adapters.test_lock import holder
from tests.support.processes import poll

ROOT = Path(__file__).resolve().parents[2]
COMMAND = """
import sys
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import create_run
from disinto_tui.cli.common import Session, carry_out, wait_for
from disinto_tui.cli.holding import with_offers
from disinto_tui.cli.output import Output, leave
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.holder import refuse_unfinished

directory, made = sys.argv[1:3]
instance, output = Instance.at(directory), Output()
step = Step("make", "Make it", "directories", {"directories": [{"path": made, "mode": "755"}]})

async def work():
    refuse_unfinished(instance)
    run = create_run(instance, Plan("init", f"Make {made}", directory, "p", "unix:///s", (step,)))
    return await carry_out(session, run)

session = Session(directory, output, yes="--yes" in sys.argv)
try:
    leave(wait_for(with_offers(session, instance, work)))
except DisintoError as error:
    output.error(error)
    leave(error.exit_code)
"""
"""A command as all others are: it plans, and starts a run."""
RUN = """
import asyncio, sys
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import create_run
from disinto_tui.runs.runner import execute
from pathlib import Path
from tests.runs.test_runner import OPS, plan, touch
instance = Instance.at(sys.argv[1])
steps = (touch("first"), touch("second", wait=float(sys.argv[2]), say=["from the other one"]))
run = create_run(instance, plan(Path(sys.argv[1]), *steps))
sys.exit(asyncio.run(execute(run, instance, OPS)))
"""


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    directory = tmp_path / "factory"
    directory.mkdir()
    return Instance.at(directory)


@contextlib.contextmanager
def shown(instance: Instance, *argv: str) -> Iterator[Terminal]:
    env = {"PYTHONPATH": str(ROOT), "HOME": str(instance.path.parent), "NO_COLOR": "1"}
    code = [sys.executable, "-c", COMMAND, str(instance.path), "mine", *argv]
    with terminal(code, env=env, cwd=ROOT) as one:
        yield one


def ended(one: Terminal) -> int:
    codes: list[int] = []

    def over() -> bool:
        one.pump(0.01)
        pid, status = os.waitpid(one.pid, os.WNOHANG)
        if pid:
            codes.append(os.waitstatus_to_exitcode(status))
        return bool(pid)

    assert poll(120, over)
    return codes[0]


def other_run(instance: Instance, seconds: float) -> subprocess.Popen[bytes]:
    """A run of somebody else, in its second step."""
    argv = [sys.executable, "-c", RUN, str(instance.path), str(seconds)]
    process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL)
    assert poll(120, (instance.path / "first").exists)
    return process


def test_their_run_is_watched_to_its_end(instance: Instance) -> None:
    with other_run(instance, 4) as process, shown(instance) as one:
        one.wait_for("is busy", f"pid {process.pid}", "[w]atch their run", within=120)
        one.send(b"w\n")
        one.wait_for("from the other one", within=120)
        assert ended(one) == 0
        assert process.wait(10) == 0
    assert not (instance.path / "mine").exists()
    assert len(list_runs(instance)) == 1


def test_without_a_terminal_or_with_yes_nothing_is_asked(instance: Instance) -> None:
    with other_run(instance, 8) as process:
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, str(instance.path), "mine"],
            capture_output=True, text=True, check=False, cwd=ROOT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 4
        assert f"disinto attach {list_runs(instance)[0].id}" in done.stderr
        assert "[w]atch" not in done.stderr
        with shown(instance, "--yes") as one:
            assert ended(one) == 4
        process.kill()


@pytest.mark.parametrize(("letter", "status"), [("f", "done"), ("u", "undone"), ("l", "interrupted")])
def test_a_run_whose_process_was_killed_is_offered(instance: Instance, letter: str, status: str) -> None:
    """A real one: its plan is executed by the real operations afterwards."""
    with shown(instance) as one:
        one.wait_for("Make mine", within=120)
        assert ended(one) == 0
    first = list_runs(instance)[0]
    events = first.events_path.read_text().splitlines()
    kinds = [json.loads(line)["kind"] for line in events]
    first.events_path.write_text("\n".join(events[: kinds.index("step_started") + 1]) + "\n")
    started = json.loads(events[0])
    with holder(instance) as (process, _):
        process.kill()
        process.wait()
    left = lock_holder(instance)
    assert left is not None
    data = json.loads(lock_path(instance).read_bytes())
    lock_path(instance).write_text(json.dumps({**data, "run_id": first.id}))
    assert started["pid"] != left.pid
    with shown(instance) as one:
        one.wait_for(
            "stopped half-way", f"pid {left.pid}", "died half-way", "[f]inish it, [u]ndo it", within=120
        )
        one.send(letter.encode() + b"\n")
        assert ended(one) == (4 if letter == "l" else 0)
    assert run_status(first) == status
    assert (instance.path / "mine").exists() == (letter != "u")


def test_a_lock_that_a_dead_one_left_is_offered_to_be_broken(instance: Instance) -> None:
    with holder(instance, "keep") as (process, child):
        process.kill()
        process.wait()
        with shown(instance) as one:
            one.wait_for(
                "locked by a process that is dead", f"pid {child} (sleep 60)", "[b]reak the lock", within=120
            )
            one.send(b"b\n")
            one.wait_for("The lock is broken", within=120)
            assert ended(one) == 0
        with shown(instance) as one:
            assert ended(one) == 0
    assert (instance.path / "mine").is_dir()


def unlock(instance: Instance, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "disinto_tui", "--dir", str(instance.path), "unlock", *argv],
        capture_output=True, text=True, check=False, cwd=ROOT, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_unlock(instance: Instance) -> None:
    assert unlock(instance).returncode == 0
    with holder(instance):
        refused = unlock(instance, "--yes")
        assert refused.returncode == 4
        assert "is busy" in refused.stderr
    with holder(instance, "keep") as (process, _):
        process.kill()
        process.wait()
        assert unlock(instance).returncode == 2  # nobody there to say yes
        assert "would be broken" in unlock(instance, "--dry-run").stderr
        said = unlock(instance, "--yes", "--json")
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["holder"]["pid"] == process.pid
        assert unlock(instance).returncode == 0
