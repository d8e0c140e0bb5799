"""How a release's run ends on the run screen: its digest and a line to pull, or the way back by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import create_run
from disinto_tui.core.errors import Failed
from disinto_tui.core.events import RunEnded, StepEnded
from disinto_tui.core.plan import Step
from disinto_tui.tui.screens.run import RunScreen
from tests.runs.test_runner import plan
from tests.tui.support import app_on, shows, until
from tests.tui.test_run_screen import Live, two_steps

__all__ = ["two_steps"]


RELEASED = {
    "version": "v0.4.0",
    "to": "ghcr.io/acme/agents:v0.4.0",
    "pushed": True,
    "image_digest": "sha256:" + "9f2c" * 16,
    "public": False,
    "restarted": True,
    "mirrors": {"github": "pushed", "codeberg": "failed: It refused."},
    "warnings": ["mirror codeberg: It refused."],
    "result_file": "release/v0.4.0.json",
}


async def test_a_release_ends_with_its_digest_and_a_line_to_pull_it(tmp_path: Path) -> None:
    steps = Step("tag-main", "Tag", "tag-main"), Step("push-image", "Push", "push-image")
    run = create_run(Instance.at(tmp_path), replace(plan(tmp_path, *steps), kind="release"))
    live = Live(run)
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(80, 24)) as pilot:
        live.step("tag-main", "v0.4.0 is 1234")
        await until(pilot, lambda: shows(pilot, "▶ tag-main"))
        assert not shows(pilot, "copy pull line")
        live.done("tag-main")
        live.end(result=RELEASED)
        await until(pilot, lambda: shows(pilot, "✓ v0.4.0 is released, in 9 s.", RELEASED["image_digest"]))
        assert shows(pilot, "private: who pulls it needs a login · on github · this factory runs it")
        assert shows(pilot, "▲ mirror codeberg: It refused.", "result in release/v0.4.0.json")
        await until(pilot, lambda: shows(pilot, "p copy pull line"))
        await pilot.press("p")
        assert app.clipboard == "docker pull ghcr.io/acme/agents:v0.4.0"


async def test_an_end_with_more_to_say_than_there_is_room_says_so(tmp_path: Path) -> None:
    run = create_run(
        Instance.at(tmp_path), replace(plan(tmp_path, Step("tag-main", "Tag", "tag-main")), kind="release")
    )
    live = Live(run)
    warnings = [f"mirror m{number}: It refused." for number in range(8)]
    live.end(result={**RELEASED, "warnings": warnings})
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(80, 24)) as pilot:
        # Five lines on the release itself, three warnings of eight, and this:
        await until(pilot, lambda: shows(pilot, "mirror m2", "… and 5 more lines"))
        assert not shows(pilot, "mirror m3")
        await pilot.resize_terminal(160, 45)
        await until(pilot, lambda: shows(pilot, "mirror m3", "mirror m7"))
        assert not shows(pilot, "more lines")


async def test_a_release_that_failed_offers_the_way_back_by_its_name(tmp_path: Path) -> None:
    steps = Step("tag-main", "Tag", "tag-main"), Step("build-image", "Build", "build-image")
    run = create_run(Instance.at(tmp_path), replace(plan(tmp_path, *steps), kind="release"))
    live = Live(run)
    live.step("tag-main")
    live.done("tag-main")
    live.step("build-image", "fine", "#7 ERROR: no space left on device", "more")
    live.writer.write(StepEnded(live.at, "build-image", "failed", 3.0, "The disk is full."))
    error = Failed("The image could not be built.", "The disk is full.", "Free some.", code="build.failed")
    live.writer.write(RunEnded(live.at + 9, "failed", 1, error=error.to_json()))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(
            pilot, lambda: shows(pilot, "✗ build-image", "▸#7 ERROR: no space left", "The disk is full.")
        )
        await until(pilot, lambda: shows(pilot, "r retry build-image   u take back the tag", "esc later"))
