"""A run's own process: started for a run, or ahead of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run, run_status
from disinto_tui.adapters.process import process_start
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs import launch
from tests.support.processes import poll


def planned(directory: Path) -> RunDir:
    """A run that makes a directory, for which nothing else has to be there."""
    (directory / "docker-compose.yml").write_text("services: {}\n")
    steps = (Step("make", "Make it", "directories", {"directories": [{"path": "made", "mode": "755"}]}),)
    return create_run(Instance.at(directory), Plan("up", "Make it", str(directory), "p", "unix:///s", steps))


def test_a_run_is_done_by_the_process_that_was_started_ahead(tmp_path: Path) -> None:
    run = planned(tmp_path)
    launch.prewarm(Instance.at(tmp_path))
    (ahead,) = launch._waiting
    pid = launch.launch(run)
    assert pid == ahead._child.pid and not launch._waiting
    assert poll(20, lambda: run_status(run) == "done"), (run.path / "stderr").read_text()
    assert (tmp_path / "made").is_dir()
    assert ahead._child.wait(10) == 0


def test_a_run_with_secrets_gets_a_process_of_its_own(tmp_path: Path) -> None:
    run = planned(tmp_path)
    launch.prewarm(Instance.at(tmp_path))
    (ahead,) = launch._waiting
    pid = launch.launch(run, secrets={"FORGE_TOKEN": "f00d-f00d"})
    try:
        assert pid != ahead._child.pid
        assert poll(20, lambda: run_status(run) == "done")
        os.waitpid(pid, 0)
    finally:
        launch._waiting.clear()
        assert ahead._child.stdin is not None
        ahead._child.stdin.close()
        assert ahead._child.wait(10) == 0  # nobody told it anything, so it did nothing


def test_one_that_died_meanwhile_is_no_matter(tmp_path: Path) -> None:
    run = planned(tmp_path)
    launch.prewarm(Instance.at(tmp_path))
    (ahead,) = launch._waiting
    ahead._child.kill()
    ahead._child.wait(10)
    os.waitpid(launch.launch(run), 0)
    assert run_status(run) == "done"


@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), 9)"])
def test_it_ends_with_the_command_that_planned_nothing(tmp_path: Path, end: str) -> None:
    planned(tmp_path)
    script = f"""
        import os, sys
        from disinto_tui.adapters.instance import Instance
        from disinto_tui.runs import launch
        launch.prewarm(Instance.at(sys.argv[1]))
        print(launch._waiting[0]._child.pid, flush=True)
        {end}
    """
    argv = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert poll(20, lambda: process_start(int(said.stdout)) == 0.0)


DYING = """
    import json, os, sys
    from disinto_tui.runs import launch, runner
    from disinto_tui.core.errors import Failed
    async def dies(run, instance, operations, *, secrets, undo, hide):
        hide(["f00d-of-sops"])
        where = "u:%s %s %s" % (secrets["PUSH"], "f00d-of-env", "f00d-of-sops")
        {end}
    runner.execute = dies
    sys.exit(launch.main(sys.argv[1:]))
"""
ENDS = {
    "a traceback": "raise RuntimeError(where)",
    "an error": 'raise Failed("It broke.", where, "Mend it.", code="code", details=[where])',
    "a warning": 'print(where, end="", file=sys.stderr); os.kill(os.getpid(), 9)',
}


@pytest.mark.parametrize("end", ENDS)
def test_what_a_runs_process_says_when_it_dies_holds_no_secret(tmp_path: Path, end: str) -> None:
    run = planned(tmp_path)
    (tmp_path / ".env").write_text("FORGE_TOKEN=f00d-of-env\nFORGE_PASS=code\n")
    script = textwrap.dedent(DYING).replace("{end}", ENDS[end])
    with (run.path / "stderr").open("wb") as err:
        said = json.dumps({"PUSH": "f00d-of-stdin"}) + "\n"
        argv = [sys.executable, "-c", script, str(run.path)]
        subprocess.run(argv, input=said, text=True, stderr=err, check=False, timeout=30)
    kept = (run.path / "stderr").read_text()
    assert "u:[redacted] [redacted] [redacted]" in kept
    files = [path.read_text() for path in run.path.rglob("*") if path.is_file()]
    assert "f00d" not in "".join(files)
    error = launch.died(run)
    assert "u:[redacted]" in error.why and "f00d" not in str(error.to_json())
