"""The wizard of a release: version, where, credentials, checks; nothing is changed before the review's yes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput, Unavailable
from disinto_tui.runs.release_offer import Beginning, Published
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.release import ReleaseScreen
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from tests.tui.home_support import Views, calm, no_remote
from tests.tui.release_support import (
    ILL,
    IMAGES,
    OPEN,
    ORDER,
    TREE,
    WELL,
    FakeSource,
    commits,
    credential,
    release_app,
)
from tests.tui.support import screen_text, shows, until
from tests.tui.version_support import Launched

SMALL = (80, 24)


def wizard(pilot: Pilot[Any]) -> ReleaseScreen:
    screen = pilot.app.screen
    assert isinstance(screen, ReleaseScreen)
    return screen


def on(pilot: Pilot[Any], page: str) -> Callable[[], bool]:
    return lambda: isinstance(pilot.app.screen, ReleaseScreen) and pilot.app.screen.page == page


async def proposed(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: shows(pilot, f"v0.3.0  of {IMAGES}", "▸  v0.4.0"))


async def to_checks(pilot: Pilot[Any]) -> None:
    await proposed(pilot)
    await pilot.press("enter")
    await until(pilot, on(pilot, "where"))
    await pilot.press("enter")
    await until(pilot, lambda: on(pilot, "credentials")() and shows(pilot, "✓ push"))
    await pilot.press("enter")
    await until(pilot, on(pilot, "checks"))


async def test_five_times_enter_and_a_yes_begin_a_release(tmp_path: Path) -> None:
    source = FakeSource()
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await proposed(pilot)
        assert shows(pilot, "v0.3.1          patch", "v0.4.0          minor · as VERSION says")
        assert shows(pilot, "3 commits since v0.3.0 · main at 7c1e0aa4b", "change 3")
        await to_checks(pilot)
        await until(pilot, lambda: shows(pilot, "● ready, 1 worth knowing", "▲ tree", "[ Review ]"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert shows(pilot, "▲ careful", "push-image", "Push the image", "the tag that was made is deleted")
        assert not (tmp_path / ".disinto").exists(), "nothing is written before the yes"
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        (request,) = source.asked
        assert (request.version, request.checkout, request.restart, request.force) == (
            "v0.4.0",
            Path("/srv/code"),
            True,
            False,
        )
        assert isinstance(app.launcher, Launched)
        (run,) = app.launcher.runs
        assert run.plan().title == f"Release v0.4.0 of {IMAGES}"
        assert app.handed == {run.id: {"GITHUB_TOKEN": "handed-to-the-run"}}


async def test_home_opens_it_and_it_closes_behind_its_run(tmp_path: Path) -> None:
    source = FakeSource()
    app = DisintoApp(
        Instance.at(tmp_path),
        config=tmp_path / "settings",
        first=lambda: HomeScreen(views=Views(calm(tmp_path)), remote=no_remote),
        launcher=Launched(),
    )
    opened: list[object] = []
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "r release"))
        app.open_release = lambda **options: opened.append(app.push_screen(ReleaseScreen(source=source)))  # type: ignore[method-assign]
        await pilot.press("r")
        await to_checks(pilot)
        await until(pilot, lambda: shows(pilot, "[ Review ]"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("escape")  # nothing was decided: back to the checks
        await until(pilot, on(pilot, "checks"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_escape_goes_back_page_by_page_and_out(tmp_path: Path) -> None:
    app = DisintoApp(
        Instance.at(tmp_path),
        config=tmp_path / "settings",
        first=lambda: HomeScreen(views=Views(calm(tmp_path)), remote=no_remote),
    )
    async with app.run_test(size=SMALL) as pilot:
        app.call_later(app.open_release, source=FakeSource())
        await to_checks(pilot)
        for page in ("credentials", "where", "version"):
            await pilot.press("escape")
            await until(pilot, on(pilot, page))
        assert shows(pilot, "esc cancel", "[ Cancel ]")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


# -- version ---------------------------------------------------------------------------------------------------------


async def test_what_the_registry_knows_later_changes_the_proposals_and_not_the_choice(tmp_path: Path) -> None:
    gate = asyncio.Event()
    source = FakeSource(gate=gate, newest=Published(IMAGES, "v0.3.4", commits(2)))
    source.trees["/srv/code"] = replace(TREE, told="")
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: shows(pilot, "▸  v0.3.1          patch", "asking the registry"))
        gate.set()
        # The tag of v0.3.4 is on the forge alone, and so the commits since it are what would be new.
        await until(
            pilot, lambda: shows(pilot, f"v0.3.4  of {IMAGES}", "▸  v0.3.5", "2 commits since v0.3.4")
        )
        line = app.screen.query_one("#version", Input)
        assert line.value == "v0.3.5"
        await pilot.press("down")
        await until(pilot, lambda: line.value == "v0.4.0")
        await pilot.press("R")
        await until(pilot, lambda: not wizard(pilot)._questions)
        assert line.value == "v0.4.0"


async def test_any_version_can_be_typed_and_one_that_is_none_is_told(tmp_path: Path) -> None:
    app = release_app(tmp_path, FakeSource())
    async with app.run_test(size=SMALL) as pilot:
        await proposed(pilot)
        line = app.screen.query_one("#version", Input)
        await pilot.press("shift+tab")
        await until(pilot, lambda: line.has_focus)
        await pilot.press(*["backspace"] * 6, *"0.5", "enter")
        await until(pilot, lambda: shows(pilot, "“0.5” is not a version."))
        assert on(pilot, "version")()
        await pilot.press(*["backspace"] * 3, *"v0.5.0-rc.1", "enter")
        await until(pilot, on(pilot, "where"))
        assert shows(pilot, "release  v0.5.0-rc.1  of")


async def test_without_a_checkout_it_can_only_be_requested(tmp_path: Path) -> None:
    source = FakeSource(begins=Beginning(), newest=Published(IMAGES, "v0.3.0"))
    none = BadInput(
        "/tmp is no git checkout.", "git finds no work tree there.", "Name another.", code="git.none"
    )
    source.trees = {"/tmp": none, "/srv/code": TREE}
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: shows(pilot, "▸  v0.3.1"))
        await pilot.press("enter")
        await until(pilot, on(pilot, "where"))
        await pilot.press("enter")
        await until(
            pilot, lambda: on(pilot, "version")() and shows(pilot, "There is no checkout to release from.")
        )
        assert app.screen.query_one("#checkout", Input).has_focus
        await pilot.press(*"/tmp", "enter")
        await until(pilot, lambda: shows(pilot, "/tmp is no git checkout."))
        await pilot.press(*["backspace"] * 3, *"srv/code", "enter")
        await until(pilot, lambda: shows(pilot, "main at 7c1e0aa4b") and not shows(pilot, "no git checkout"))
        await pilot.press("ctrl+n")
        await until(pilot, on(pilot, "where"))
        await pilot.press("end", "enter")
        await until(pilot, lambda: bool(source.requested))


async def test_a_registry_that_does_not_answer_leaves_what_the_checkout_knows(tmp_path: Path) -> None:
    down = Unavailable("ghcr.io did not answer.", "It was given 10 s.", "Try again.", code="registry.down")
    app = release_app(tmp_path, FakeSource(newest=Published(IMAGES, trouble=down)))
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: shows(pilot, "newest   ▲ ghcr.io did not answer.", "▸  v0.4.0"))


# -- where -----------------------------------------------------------------------------------------------------------


async def test_publishing_alone_leaves_this_factory_as_it_is(tmp_path: Path) -> None:
    source = FakeSource()
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await proposed(pilot)
        await pilot.press("enter")
        await until(pilot, on(pilot, "where"))
        await pilot.press("down", "enter")
        await until(pilot, lambda: shows(pilot, "✓ push"))
        await pilot.press("enter")
        await until(pilot, lambda: [request.restart for request in source.asked] == [False])


async def test_a_request_for_approval_needs_no_credentials_of_this_host(tmp_path: Path) -> None:
    source = FakeSource(plans=[(*WELL, OPEN)])
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await proposed(pilot)
        await pilot.press("enter")
        await until(pilot, on(pilot, "where"))
        await pilot.press("end")
        await until(pilot, lambda: not shows(pilot, "credentials"))
        await pilot.press("enter")
        await until(
            pilot, lambda: shows(pilot, "✗ protection", "1 to mend first", "[ Protect the branch, too ]")
        )
        assert not source.requested[0].protect
        await pilot.press("ctrl+n")
        await until(pilot, lambda: shows(pilot, "● ready", "[ Review ]"))
        assert source.requested[1].protect
        await pilot.press("enter")
        await until(
            pilot,
            lambda: shows(pilot, "[ File it ]", "Make the branch vault/release-v040", "acme/ops: vault"),
        )
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert isinstance(app.launcher, Launched)
        assert [run.plan().kind for run in app.launcher.runs] == ["release-request"]
    assert not source.asked and not source.pushes


async def test_what_the_options_say_has_a_field_with_the_way_it_belongs_to(tmp_path: Path) -> None:
    source = FakeSource()
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await proposed(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: on(pilot, "where")() and shows(pilot, "repository", "for approval"))
        assert not shows(pilot, "validator")
        await pilot.press("tab", *"acme", "enter")
        await until(pilot, lambda: shows(pilot, "'acme' is not a repository"))
        assert on(pilot, "where")()
        await pilot.press(*"/shop", "enter")
        await until(pilot, lambda: shows(pilot, "✓ push"))
        assert source.pushes[-1].repository == "acme/shop"
        await pilot.press("enter")
        await until(pilot, lambda: [item.repository for item in source.asked] == ["acme/shop"])
        await pilot.press("escape", "escape")
        await until(pilot, on(pilot, "where"))
        await pilot.press("end", "tab", *"vault2", "tab", *"release-v0-4-0")
        await until(pilot, lambda: shows(pilot, "vault2", "release-v0-4-0") and not shows(pilot, "acme/shop"))
        await pilot.press("enter")
        await until(
            pilot, lambda: shows(pilot, "There is no generation vault2.", "Known are vault, action-vault")
        )
        await pilot.press("shift+tab", "backspace", "enter")
        await until(pilot, lambda: bool(source.requested))
        assert (source.requested[0].generation, source.requested[0].id) == ("vault", "release-v0-4-0")


# -- credentials -----------------------------------------------------------------------------------------------------


async def test_where_a_secret_is_what_it_may_do_and_when_it_expires(tmp_path: Path) -> None:
    told = credential(
        "GITHUB_TOKEN (the environment): is ops's; may push to ghcr.io/acme/agents; expires on 2026-12-01, in 6 days.",
        severity="warning",
        cure="Make a new one this week.",
    )
    app = release_app(tmp_path, FakeSource(secrets=(told,)))
    async with app.run_test(size=(160, 45)) as pilot:
        await proposed(pilot)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: shows(pilot, "▲ push", told.finding.text, "Make a new one this week."))


async def test_a_token_that_is_typed_is_judged_handed_over_and_never_shown(tmp_path: Path) -> None:
    source = FakeSource()
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await proposed(pilot)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: shows(pilot, "✓ push"))
        app.screen.query_one("#token", Input).focus()
        await pilot.press(*"abc", "enter")
        await until(pilot, lambda: shows(pilot, "The token as it was typed cannot be used."))
        assert len(source.pushes) == 1
        await pilot.press(*"defgh-ijkl", "enter")
        await until(pilot, lambda: len(source.pushes) == 2 and shows(pilot, "✓ push"))
        assert "abcdefgh" not in "\n".join(screen_text(pilot))
        token = source.pushes[1].token
        assert token is not None and token.reveal() == "abcdefgh-ijkl"
        app.screen.query_one("#user", Input).value = "ops"
        await pilot.press("ctrl+n")  # what was changed is judged before it is used
        await until(pilot, lambda: len(source.pushes) == 3)
        assert on(pilot, "credentials")()
        await until(pilot, lambda: shows(pilot, "✓ push"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: bool(source.asked))
        request = source.asked[0]
        assert (request.user, request.secret) == ("ops", "GITHUB_TOKEN")
        assert dict(request.secrets) == {"GITHUB_TOKEN": "abcdefgh-ijkl"}
        assert "abcdefgh" not in repr(request)
        # It is in no other place: the app keeps it apart, for when this run is begun again.
        await until(pilot, lambda: shows(pilot, "[ Review ]"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert list(app.typed.values()) == [{"GITHUB_TOKEN": token}]


async def test_credentials_that_cannot_be_asked_about_hold_up_nothing(tmp_path: Path) -> None:
    down = Unavailable(
        "The engine does not answer.", "Nothing listens there.", "Start it.", code="engine.down"
    )
    source = FakeSource(secrets=down)
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await proposed(pilot)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: shows(pilot, "The engine does not answer."))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: bool(source.asked))


# -- checks ----------------------------------------------------------------------------------------------------------


async def test_everything_wrong_stands_there_with_its_cure_and_is_looked_at_again(tmp_path: Path) -> None:
    source = FakeSource(plans=[ILL])
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await to_checks(pilot)
        await until(
            pilot, lambda: shows(pilot, "✗ tree", "Commit or stash them.", "✗ version file", "Put 0.4.0 into")
        )
        assert shows(pilot, "✗ 2 to mend first", "✓ branch")
        assert not shows(pilot, "[ Review ]") and not shows(pilot, "[ Release it")
        await pilot.press("enter", "ctrl+n")  # there is nothing to go on to
        assert on(pilot, "checks")()
        await pilot.press("R")
        await until(pilot, lambda: shows(pilot, "● ready", "[ Review ]"))
        assert len(source.asked) == 2


async def test_a_fix_of_an_older_line_can_be_released_all_the_same(tmp_path: Path) -> None:
    source = FakeSource(plans=[(*WELL, ORDER)])
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await to_checks(pilot)
        await until(pilot, lambda: shows(pilot, "✗ order", "[ Release it all the same ]"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: shows(pilot, "● ready"))
        assert [request.force for request in source.asked] == [False, True]
        # Another version is asked about from the beginning.
        await pilot.press("escape", "ctrl+n")
        await until(pilot, lambda: len(source.asked) == 3)
        assert not source.asked[2].force


async def test_what_cannot_be_looked_at_is_told_in_place(tmp_path: Path) -> None:
    down = Unavailable(
        "The engine does not answer.", "Nothing listens there.", "Start it.", code="engine.down"
    )
    source = FakeSource(plans=[down, RuntimeError("boom")])
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await to_checks(pilot)
        await until(pilot, lambda: shows(pilot, "▲ The engine does not answer.", "Start it."))
        await pilot.press("R")
        await until(pilot, lambda: shows(pilot, "did not foresee", "boom"))
        await pilot.press("R")
        await until(pilot, lambda: shows(pilot, "[ Review ]") and not shows(pilot, "boom"))


async def test_the_answer_to_what_is_not_asked_any_more_is_dropped(tmp_path: Path) -> None:
    source = FakeSource()
    app = release_app(tmp_path, source)
    async with app.run_test(size=SMALL) as pilot:
        await proposed(pilot)
        source.gate = asyncio.Event()
        await to_checks(pilot)
        await until(pilot, lambda: shows(pilot, "Looking at the checkout, the forge, the engine"))
        await until(pilot, lambda: shows(pilot, "since 1 s; esc goes back"))
        await pilot.press("escape")
        await until(pilot, on(pilot, "credentials"))
        source.gate.set()
        await pilot.pause()
        assert wizard(pilot)._ready is None
        assert on(pilot, "credentials")()


def test_the_checks_look_as_pinned(snap_compare: Callable[..., bool]) -> None:
    app = release_app(Path("/srv/acme"), FakeSource(plans=[ILL]))

    async def show(pilot: Pilot[Any]) -> None:
        await to_checks(pilot)
        await until(pilot, lambda: shows(pilot, "✗ version file"))

    assert snap_compare(app, terminal_size=SMALL, run_before=show)
