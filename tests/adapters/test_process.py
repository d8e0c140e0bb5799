"""The one place that starts child processes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from disinto_tui.adapters.process import (
    Command,
    boot_id,
    child_environment,
    is_alive,
    process_start,
    run,
    run_checked,
    signal_process,
    spawn_detached,
)
from disinto_tui.core.errors import Failed, Unavailable


def python(code: str, **more: object) -> Command:
    return Command((sys.executable, "-c", code), writes=False, **more)  # type: ignore[arg-type]


async def test_result_has_code_and_both_streams() -> None:
    result = await run(python("import sys; print('a'); print('b', file=sys.stderr); sys.exit(3)"))
    assert (result.returncode, result.stdout, result.stderr, result.ok) == (3, "a", "b", False)


async def test_standard_input_is_closed_unless_given() -> None:
    assert (await run(python("import sys; print(repr(sys.stdin.read()))"))).stdout == "''"
    given = python("import sys; print(sys.stdin.read())", stdin=b"secret")
    assert (await run(given)).stdout == "secret"
    assert "secret" not in repr(given)
    assert "secret" not in str(given)


async def test_lines_come_whole_in_batches_whatever_the_chunks() -> None:
    code = "import sys,time\n"
    code += "for p in ('a', 'b\\nc', '\\r\\n', 'last'):\n sys.stdout.write(p); sys.stdout.flush(); time.sleep(0.02)"
    seen: list[str] = []
    result = await run(python(code), on_lines=lambda _, texts: seen.extend(texts))
    assert seen == ["ab", "c", "last"]
    assert result.stdout == ""


async def test_a_flood_arrives_complete() -> None:
    count = 0

    def take(_: str, texts: object) -> None:
        nonlocal count
        count += len(texts)  # type: ignore[arg-type]

    await run(
        python("import sys; sys.stdout.write('x' * 80 + '\\n' if 0 else ('y' * 80 + '\\n') * 100_000)"),
        on_lines=take,
    )
    assert count == 100_000


async def test_environment_is_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTS_IMAGE", "v9.9.9")
    monkeypatch.setenv("FORGE_TOKEN", "t0ken")
    monkeypatch.setenv("COMPOSE_FILE", "/elsewhere.yml")
    result = await run(python("import os; print(sorted(os.environ))"))
    for name in ("AGENTS_IMAGE", "FORGE_TOKEN", "COMPOSE_FILE"):
        assert name not in result.stdout
    assert "PATH" in child_environment()
    assert child_environment({"AGENTS_IMAGE": "x"})["AGENTS_IMAGE"] == "x"


async def test_cancel_ends_the_whole_group() -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(60)"
    )
    pids: list[int] = []
    task = asyncio.create_task(run(python(code), on_lines=lambda _, texts: pids.extend(map(int, texts))))
    deadline = time.monotonic() + 10
    while not pids and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert process_start(pids[0]) > 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while process_start(pids[0]) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert process_start(pids[0]) == 0.0


def test_a_second_cancel_leaves_neither_the_child_nor_its_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one asks the child to end and waits for it; who cancels that, too, is not kept waiting."""
    code = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True)"
    pids: list[int] = []
    left: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: left.append(told.exc_value))

    async def cancel_twice() -> float:
        command = python(f"{code}\ntime.sleep(60)")
        task = asyncio.create_task(run(command, on_lines=lambda _, texts: pids.extend(map(int, texts))))
        while not pids:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done(), "it waits for the child"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(cancel_twice()) < 4
    gc.collect()  # what is left of the transport meets a loop that is closed
    assert left == []
    deadline = time.monotonic() + 10
    while process_start(pids[0]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process_start(pids[0]) == 0.0


async def test_timeout_ends_the_child_and_says_so() -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        await run(python("import time; time.sleep(60)", timeout=0.2))
    assert caught.value.code == "process.timeout"
    assert time.monotonic() - began < 10


async def test_a_missing_program_is_three_sentences() -> None:
    with pytest.raises(Unavailable) as caught:
        await run(Command(("no-such-program-here",), writes=False))
    assert "no-such-program-here" in caught.value.what


async def test_run_checked_gives_the_last_words() -> None:
    with pytest.raises(Failed) as caught:
        await run_checked(
            python("import sys; print('why', file=sys.stderr); sys.exit(2)"), "It broke.", "Mend it."
        )
    assert "why" in caught.value.why


def test_a_detached_process_gets_its_secret_by_stdin_and_its_own_session(tmp_path: Path) -> None:
    target = tmp_path / "out"
    code = f"import os, sys; open({str(target)!r}, 'w').write(sys.stdin.readline() + str(os.getsid(0) == os.getpid()))"
    pid = spawn_detached(
        [sys.executable, "-c", code], stderr_to=tmp_path / "err", private={"T": "s3cret"}, cwd=str(tmp_path)
    )
    os.waitpid(pid, 0)
    assert target.read_text() == '{"T": "s3cret"}\nTrue'


def test_a_detached_process_does_not_inherit_what_it_is_handed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    monkeypatch.setenv("HANDED", "another value")
    monkeypatch.setenv("UNDER_ANOTHER_NAME", "s3cret")
    monkeypatch.setenv("KEPT", "kept")
    code = f"import os; open({str(target)!r}, 'w').write(repr([os.environ.get(name) for name in {{}}]))"
    names = ["HANDED", "UNDER_ANOTHER_NAME", "KEPT"]
    argv = [sys.executable, "-c", code.format(names)]
    pid = spawn_detached(argv, stderr_to=tmp_path / "err", private={"HANDED": "s3cret"}, cwd=str(tmp_path))
    os.waitpid(pid, 0)
    assert target.read_text() == "[None, None, 'kept']"


def test_a_reused_pid_is_not_the_process() -> None:
    me = os.getpid()
    assert is_alive(me, process_start(me), boot_id())
    assert not is_alive(me, process_start(me) + 1, boot_id())
    assert not is_alive(me, process_start(me), "another-boot")
    assert not signal_process(me, process_start(me) + 1, boot_id(), signal.SIGKILL)
