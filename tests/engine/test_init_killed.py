"""`disinto init` killed (SIGKILL) at every boundary of every step, and started again."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.engine.conftest import SampleImages
from tests.support.engine import Engine
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble

# The run's own process, with a listener that kills it as soon as the journal holds the n-th boundary.
KILLER = """
import asyncio, os, signal, sys
from pathlib import Path
from disinto_tui.adapters.journal import RunDir
from disinto_tui.core.events import StepEnded, StepStarted
from disinto_tui.runs.launch import instance_of
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.runner import execute

left = int(sys.argv[2])

def listen(event):
    global left
    if isinstance(event, (StepStarted, StepEnded)):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

run = RunDir(Path(sys.argv[1]))
sys.exit(int(asyncio.run(execute(run, instance_of(run), OPERATIONS, listener=listen))))
"""


def planned(factory: Factory) -> Path:
    """The run directory of an init that was planned and confirmed, its process not started.

    Made by the command itself: its process is killed before the first step, so nothing is done.
    """
    return factory.cli.planned("init", str(factory.config), "--token-file", str(factory.token), "--yes")


@pytest.mark.slow
def test_init_killed_at_every_step_boundary(
    engine: Engine, sample_images: SampleImages, project: str, forge: ForgeDouble, tmp_path: Path
) -> None:
    text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
    factory = new_factory(tmp_path, engine.endpoint, project, text, warm=True)
    whole: dict[str, bytes] | None = None
    boundary = 0
    while True:
        boundary += 1
        run = planned(factory)
        killed = factory.cli.python("-c", KILLER, str(run), str(boundary), cwd=tmp_path)
        if killed.returncode != -signal.SIGKILL:
            assert killed.returncode == 0, killed.stderr
            break
        before = factory.cli("status", "--json")
        said = factory.init()
        assert said.code == 0, (boundary, said.err)
        assert "An earlier init" in said.err
        files = factory.files()
        whole = whole or files
        assert files == whole, boundary
        assert factory.cli("status").code == 0, (boundary, before.out)
        again = factory.init()
        assert "Nothing to do." in again.err, (boundary, again.err)
        engine.remove(f"label=com.docker.compose.project={project}")
        shutil.rmtree(factory.directory)
        pulled = [name for name in engine.references() if name == sample_images.reference("v0.2.0")]
        if boundary % 3 == 0 and pulled:
            engine.docker("rmi", *pulled, check=False)  # so that the pull is a step that acts
    # directories, check, files, (pull,) up, healthy: two boundaries each.
    assert boundary > 10


@pytest.mark.slow
def test_init_killed_then_taken_back_leaves_nothing(
    engine: Engine, sample_images: SampleImages, project: str, forge: ForgeDouble, tmp_path: Path
) -> None:
    text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
    factory = new_factory(tmp_path, engine.endpoint, project, text, warm=True)
    factory.directory.mkdir()
    (factory.directory / ".env").write_text("# mine\nCLAUDE_TIMEOUT=60\n")
    (factory.directory / ".env").chmod(0o640)
    for boundary in (3, 5, 6, 8, 9):
        run = planned(factory)
        killed = factory.cli.python("-c", KILLER, str(run), str(boundary))
        assert killed.returncode == -signal.SIGKILL
        said = factory.cli("resume", "--undo", "--yes")
        assert said.code == 0, (boundary, said.err)
        assert factory.files() == {".env": b"# mine\nCLAUDE_TIMEOUT=60\n"}, boundary
        assert (factory.directory / ".env").stat().st_mode & 0o777 == 0o640
        assert engine.ids("container", f"label=com.docker.compose.project={project}") == [], boundary
        assert {path.name for path in factory.directory.iterdir()} == {".env", ".disinto"}
