"""What a session of tests leaves when it is killed, the next one removes; what lives is left alone."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import json
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

import pytest

from tests.support.engine import Engine, reap
from tests.support.processes import poll


def leave_something(engine: Engine, home: Path) -> tuple[Engine, subprocess.Popen[bytes]]:
    """A session with a volume, two names of an image, and a run that is still at work."""
    other = dataclasses.replace(engine, session=uuid.uuid4().hex[:8])
    project = f"{other.prefix}-shop"
    other.docker("volume", "create", "--label", f"com.docker.compose.project={project}", f"{project}_data")
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    for name in (f"disinto-kept/{project}:v0.1.0", f"127.0.0.1:1/{other.prefix}/some/agents:v0.1.0"):
        subprocess.run(
            ["docker", "import", "-", name],
            input=empty.getvalue(),
            env=other.environment(),
            check=True,
            capture_output=True,
        )
    run = home / other.session / ".disinto" / "runs" / "one"
    run.mkdir(parents=True)
    (run / "plan.json").write_text(json.dumps({"project": project}))
    working = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", str(run)])
    return other, working


def left(other: Engine) -> list[str]:
    names = [name for name in other.references() if other.prefix in name]
    return [*names, *(name for name in other.ids("volume") if name.startswith(other.prefix))]


def test_a_killed_session_is_reaped_by_the_next_and_a_living_one_is_not(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISINTO_GROUND", str(tmp_path))
    notes = tmp_path / "sessions"
    notes.mkdir()
    dead, orphan = leave_something(engine, tmp_path)
    living, busy = leave_something(engine, tmp_path)
    try:
        (notes / dead.session).touch()
        with (notes / living.session).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            reap(dataclasses.replace(engine, session=uuid.uuid4().hex[:8]))
        assert left(dead) == []
        assert poll(60, lambda: orphan.poll() is not None)
        assert not (notes / dead.session).exists()
        assert len(left(living)) == 3
        assert busy.poll() is None
    finally:
        for one in (dead, living):
            one.sweep()
        for process in (orphan, busy):
            process.kill()
            process.wait()
    assert left(living) == []
