"""A release while the ground gives way: each fault, what it leaves, and how it goes on."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.ptykit import terminal
from tests.support.engine import ROOT, Engine
from tests.support.forge_state import Tag
from tests.support.git_server import commit
from tests.support.processes import poll
from tests.support.registries import Registry, push_stand_ins
from tests.support.release_ground import MARK, SECRETS, STEPS, ReleaseGround, release_ground

pytestmark = pytest.mark.slow

SLOW = 256 * 1024
"""Bytes a second of a registry that is to be caught in the middle of a layer."""
PUBLISH = ("--no-restart",)
"""Faults that come before the switch need none."""
HURRIED = {"set": {"disinto_tui.runs.ops_images:_PUSH_PAUSES": [0.1, 0.1]}}


@pytest.fixture(scope="module")
def ground(
    engine: Engine, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReleaseGround]:
    with release_ground(engine, tmp_path_factory.mktemp("g"), "faults", push_stand_ins(registry)) as made:
        yield made


@pytest.fixture(autouse=True)
def mended(ground: ReleaseGround) -> Iterator[None]:
    """The ground is firm again after each test, and nobody is at work."""
    yield
    ground.proxy.upload_rate = 0
    ground.forge.state.late.clear()
    ground.mirrors.closed.clear()
    assert ground.leftovers() == []


def finished(ground: ReleaseGround, version: str) -> None:
    """It is released: tagged where it was recorded, published as it was built, told as it was."""
    result, sha = ground.result(version), ground.shas[version]
    assert (result["status"], result["head_sha"]) == ("success", sha)
    assert ground.repo.tags[version].commit == sha
    assert {name: ground.mirrors.refs(name)[f"refs/tags/{version}"] for name in ground.mirrored} == {
        "one": sha,
        "two": sha,
    }
    assert ground.published(version) == result["image_digest"] == ground.published("latest")
    assert ground.local(f"{ground.alias}:{version}") == result["image_id"]
    open_pulls = [pull.head for pull in ground.repo.pulls.values() if pull.state == "open"]
    assert open_pulls.count(f"release-result/{version}") == 1


def at_step(step: str) -> Callable[[dict[str, Any]], bool]:
    """A step has begun."""
    return lambda event: event["kind"] == "step_started" and event["step"] == step


# -- before anything is done ---------------------------------------------------------------------------------------


def test_a_push_credential_without_the_scope_is_refused_before_anything_is_changed(
    ground: ReleaseGround,
) -> None:
    version, before = ground.cut(), ground.outside()
    asked = len(ground.forge.state.calls)
    said = ground.release(version, "--user", "reader", secrets={**SECRETS, "GITHUB_TOKEN": "r3ad"})
    assert said.code == 4, said.err
    assert f"This login may not push to {ground.images}" in said.err
    assert "write:packages" in said.err
    assert ground.outside() == before
    assert {method for method, _, _ in ground.forge.state.calls[asked:]} == {"GET"}


def test_a_tag_at_another_commit_stops_it_and_is_not_moved(ground: ReleaseGround) -> None:
    version = ground.cut()
    other = ground.repo.branches["main"][0]
    ground.repo.tags[version] = Tag(version, "", other, other)
    before = ground.outside()
    said = ground.release(version)
    assert said.code == 4, said.err
    assert f"The tag {version} is there, at {other[:12]}" in said.err
    assert "A tag is never moved" in said.err
    assert ground.outside() == before


# -- while others work -----------------------------------------------------------------------------------------------


def test_main_that_moves_after_preflight_and_a_tag_at_the_same_commit(ground: ReleaseGround) -> None:
    """What was recorded is released, whatever is checked out by now; a tag that is there at it is as good as ours."""
    version = ground.cut()
    sha = ground.shas[version]
    ground.repo.tags[version] = Tag(version, "", sha, sha)
    run = ground.planned(version, *PUBLISH)
    ground.repo.branches["main"].append(commit(ground.tree, {"VERSION": "0.9.9\n"}, "somebody went on"))
    assert ground.killed(run, {}) == 0, (run / "log").read_text()
    finished(ground, version)
    log = (run / "log").read_text()
    assert (
        f"main is at {ground.repo.branches['main'][-1][:12]} by now; {sha[:12]}, as recorded, is released"
        in log
    )
    assert ground.repo.tags[version].id == sha  # not made anew


def test_two_releases_at_once(ground: ReleaseGround) -> None:
    """The second is told who is at it, and changes nothing."""
    first = ground.cut()
    run = ground.planned(first, *PUBLISH)
    with ground.start(run) as process:
        # A step whose children reach nothing outside of this host: they go on while it stands still.
        ground.until(run, at_step("build-image"))
        process.send_signal(signal.SIGSTOP)  # however slow this machine is: it is at it
        try:
            second, before = ground.cut(), ground.outside()
            said = ground.release(second, *PUBLISH)
            assert said.code == 4, said.err
            assert f"pid {process.pid}: `disinto release`" in said.err
            assert f"disinto attach {run.name}" in said.err
            assert ground.outside() == before
            assert ground.newest_run() == run
        finally:
            process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 0, (run / "log").read_text()
    finished(ground, first)


def test_a_terminal_that_is_closed_in_the_middle_of_the_build(ground: ReleaseGround) -> None:
    """The run goes on; whoever attaches sees it from its beginning to its end."""
    version = ground.cut(more=f"RUN echo {MARK} && sleep 0.5\n")
    argv = [sys.executable, "-m", "disinto_tui", "--dir", str(ground.factory.directory)]
    env = {**ground.factory.cli.environment(SECRETS), "PYTHONPATH": str(ROOT)}
    with terminal([*argv, *ground.argv(version, *PUBLISH)], env=env, cwd=ground.tree) as shown:
        shown.wait_for(MARK, within=60)
        run = ground.newest_run()
        pid = json.loads((run / "events.ndjson").read_text().splitlines()[0])["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            os.close(shown.fd)  # the kernel hangs up on whoever has this terminal
            shown.fd = os.open(os.devnull, os.O_RDWR)
            assert poll(120, lambda: os.waitpid(shown.pid, os.WNOHANG)[0] != 0), "the command ends with it"
            states = json.loads((run / "events.ndjson").read_text().splitlines()[-1])
            assert states.get("step") == "build-image" and states["kind"] != "step_ended"
        finally:
            os.kill(pid, signal.SIGCONT)
    said = ground.factory.cli("attach")
    assert said.code == 0, said.err
    told = said.out + said.err
    words = ("✓ version file", "exported", MARK, "built sha256:", "proposed as pull request")
    marks = [told.index(word) for word in words]
    assert marks == sorted(marks)
    assert f"{version} is released" in told
    finished(ground, version)


def test_a_release_that_begins_in_the_middle(ground: ReleaseGround) -> None:
    """`--from`: what was built for that commit is found by what it says of itself, and the result tells of it."""
    version = ground.cut()
    run = ground.planned(version, *PUBLISH)
    before_push = 2 * (STEPS.index("push-image")) + 1
    assert ground.killed(run, {"boundary": before_push}) == -signal.SIGKILL
    said = ground.release(version, *PUBLISH, "--from", "push-image")
    assert said.code == 0, said.err
    finished(ground, version)
    result = ground.result(version)
    assert [step["id"] for step in result["steps"]] == ["push-image"]
    said = ground.release(version, "--from", "nosuch")
    assert said.code in (2, 4), said.err
    version = ground.cut()
    said = ground.release(version, *PUBLISH, "--from", "tag-image")
    assert said.code == 1, said.err
    assert "The image of this run is not on this host." in said.err
    assert ground.published(version) == ""


# -- the forge -------------------------------------------------------------------------------------------------------


def test_a_forge_that_answers_late_after_having_done_the_work(ground: ReleaseGround) -> None:
    """The tag, the result's branch and the pull request are made, and no answer comes: each is looked for."""
    version = ground.cut()
    run = ground.planned(version, *PUBLISH)
    posts = ("/tags", f"/contents/release/{version}.json", "/pulls")
    ground.forge.state.late += [("POST", end) for end in posts]
    assert ground.killed(run, {}) == 0, (run / "log").read_text()
    assert ground.forge.state.late == [], "every one of them was late"
    assert (run / "log").read_text().count("Looking whether it did.") == 3
    finished(ground, version)
    assert ground.result(version)["warnings"] == []


# -- mirrors ---------------------------------------------------------------------------------------------------------


def test_one_mirror_that_refuses_is_a_warning_when_the_formula_says_so(ground: ReleaseGround) -> None:
    """A hook there declines; the other has it, and the result tells of both."""
    hook = ground.mirrors.directory / "two.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'no tags today' >&2\nexit 1\n")
    hook.chmod(0o755)
    formula = ground.factory.directory / "formulas" / "release.toml"
    text = formula.read_text()
    formula.write_text(
        text.replace('uses = "push-mirrors"\n', 'uses = "push-mirrors"\non_failure = "warn"\n')
    )
    try:
        version = ground.cut()
        said = ground.release(version, *PUBLISH)
    finally:
        formula.write_text(text)
        hook.unlink()
    assert said.code == 0, said.err
    result = ground.result(version)
    assert result["status"] == "success"
    assert result["mirrors"]["one"] == "pushed"
    assert result["mirrors"]["two"].startswith("failed: ")
    assert "mirror two: failed" in result["warnings"][0]
    assert "no tags today" in said.err
    assert ground.mirrors.refs("one")[f"refs/tags/{version}"] == ground.shas[version]
    assert f"refs/tags/{version}" not in ground.mirrors.refs("two")


# -- build and push --------------------------------------------------------------------------------------------------


def test_a_build_that_fails_and_the_way_back(ground: ReleaseGround) -> None:
    """Its last lines are told, the result names the step, and taking it back deletes the tag."""
    version = ground.cut(more="RUN echo it is the compiler; exit 3\n")
    before = ground.outside()
    said = ground.release(version)
    assert said.code == 1, said.err
    assert "The image could not be built." in said.err
    assert "it is the compiler" in said.err.partition("The image could not be built.")[2]
    # The same commit fails again; mirrors may have its tag, so it is the next version that has the mended one.
    assert "`disinto resume --undo`, and release the mended one as the next version." in said.err
    result = ground.result(version)
    assert (result["status"], result["failed_step"], result["pushed"]) == ("failed", "build-image", False)
    assert result["error"]["code"] == "build.failed"
    assert [step["status"] for step in result["steps"]] == ["done", "done", "done", "failed"]
    assert ground.repo.tags[version].commit == ground.shas[version]
    assert ground.image_running() == before["running"]
    back = ground.resume("--undo")
    assert back.code == 0, back.err
    after = ground.outside()
    assert ground.result(version)["status"] == "undone"
    for key in ("tags", "branches", "pulls", "published", "local", "pin", "running"):
        assert after[key] == before[key], key


def test_a_build_that_is_stopped_ends_with_its_builder_and_is_taken_back(ground: ReleaseGround) -> None:
    """Stopped by the operator: it says so, leaves no builder behind, and the way back is open."""
    version = ground.cut(more=f"RUN echo {MARK} && sleep 300\n")
    run = ground.planned(version, *PUBLISH)
    with ground.start(run) as process:
        assert poll(60, lambda: MARK in log(run))
        (run / "cancel").touch()
        assert process.wait(300) == 130, log(run)
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if str(run).encode() in read(one)]
    result = ground.result(version)
    assert (result["status"], result["failed_step"]) == ("failed", "build-image")
    assert result["error"]["code"] == "run.cancelled"
    back = ground.resume("--undo")
    assert back.code == 0, back.err
    assert version not in ground.repo.tags


def log(run: Path) -> str:
    """A run's log so far."""
    return (run / "log").read_text() if (run / "log").exists() else ""


def read(path: Path) -> bytes:
    """A file of /proc, b"" when its process has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def heavy(ground: ReleaseGround) -> str:
    """A version whose layer takes seconds at SLOW."""
    payload = secrets.token_hex(1 << 20)
    return ground.cut(more="COPY payload /payload\n", files={"payload": payload})


def in_a_layer(event: dict[str, object]) -> bool:
    """Bytes went, and not all of them."""
    return event["kind"] == "progress" and event["step"] == "push-image" and event["unit"] == "B"


def test_a_registry_that_breaks_off_in_the_middle_of_a_push_and_comes_back(ground: ReleaseGround) -> None:
    """The engine tries the layer again by itself, and the release knows nothing of it but the wait."""
    version = heavy(ground)
    run = ground.planned(version, *PUBLISH)
    ground.proxy.upload_rate = SLOW
    with ground.start(run, HURRIED) as process:
        ground.until(run, in_a_layer)
        ground.proxy.cut()
        ground.proxy.open()
        ground.proxy.upload_rate = 0
        assert process.wait(90) == 0, (run / "log").read_text()
    finished(ground, version)


def test_a_registry_that_dies_before_a_push_is_tried_again_and_the_rest_is_resumed(
    ground: ReleaseGround,
) -> None:
    """Nobody listens any more: tried as often as is due, then it ends with what runs untouched, and goes on later."""
    version, running = heavy(ground), ground.image_running()
    run = ground.planned(version)
    ground.proxy.upload_rate = SLOW
    with ground.start(run, HURRIED) as process:
        ground.until(run, at_step("push-image"))
        ground.proxy.cut()
        try:
            assert process.wait(120) == 3, (run / "log").read_text()
        finally:
            ground.proxy.open()
            ground.proxy.upload_rate = 0
    assert ground.error(run)["code"].startswith("registry.")
    assert (run / "log").read_text().count("Tried again in") == 2
    result = ground.result(version)
    assert (result["status"], result["failed_step"], result["pushed"]) == ("failed", "push-image", False)
    assert (ground.image_running(), ground.published(version)) == (running, "")
    said = ground.resume()
    assert said.code == 0, said.err
    finished(ground, version)
    assert ground.running() == [version]
