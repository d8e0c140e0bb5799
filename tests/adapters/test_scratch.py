"""The directory that Compose is shown files in while something is planned: gone afterwards, also after a kill."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from disinto_tui.adapters import scratch as module
from disinto_tui.adapters.scratch import scratch
from disinto_tui.core.errors import Failed

PLANNING = """
import sys, time
from disinto_tui.adapters.scratch import scratch
with scratch() as place:
    (place / ".env").write_text("FORGE_TOKEN=t0ps3cret")
    print(place, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def planning(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that plans, and the directory it uses."""
    with subprocess.Popen(
        [sys.executable, "-c", PLANNING],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    ) as child:
        assert child.stdout is not None
        yield child, Path(child.stdout.readline().strip())
        child.kill()


def test_it_is_for_our_eyes_alone_and_gone_afterwards(place: Path) -> None:
    with pytest.raises(KeyError), scratch() as made:
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        (made / "docker-compose.yml").write_text("services: {}")
        raise KeyError
    assert list(place.iterdir()) == []


def test_what_a_killed_planning_left_is_removed_by_the_next_one(
    planning: tuple[subprocess.Popen[str], Path],
) -> None:
    child, left = planning
    with scratch():
        assert (left / ".env").exists(), "it is at work"
    child.kill()
    child.wait()
    assert (left / ".env").exists(), "nobody could remove it"
    with scratch() as made:
        assert not left.exists() and made.exists()


def test_what_is_not_ours_stays(place: Path) -> None:
    precious = place / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (place / "disinto-plan-link").symlink_to(precious)
    (place / "disinto-plan-file").touch()
    with scratch():
        assert (precious / "file").exists() and (place / "disinto-plan-file").exists()


def test_one_that_was_taken_for_left_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another planning may come between making and locking it."""
    make, gone = tempfile.mkdtemp, []

    def removed_once(**more: str) -> str:
        made = make(**more)
        if not gone:
            gone.append(made)
            Path(made).rmdir()
        return made

    monkeypatch.setattr(module.tempfile, "mkdtemp", removed_once)
    with scratch() as made:
        assert made.exists() and str(made) not in gone


def test_a_disk_that_takes_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nothing-can-be-made-here")
    with pytest.raises(Failed, match="could not be written"), scratch():
        pass
