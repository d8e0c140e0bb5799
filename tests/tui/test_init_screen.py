"""Init: four pages, problems beside the lines, nothing written before the last yes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from disinto_tui.adapters.forge import ForgeUser
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir
from disinto_tui.core.catalog import Catalog
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Refused, Unavailable
from disinto_tui.core.model import Project
from disinto_tui.core.plan import FileChange, Plan, Step
from disinto_tui.runs.init_checks import TokenCheck
from disinto_tui.runs.init_model import Prepared
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.dialogs import Ask, AskLine
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.init import InitScreen
from disinto_tui.tui.screens.init_config import ConfigPage
from disinto_tui.tui.screens.init_source import Login
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from disinto_tui.tui.widgets.config_editor import ConfigEditor, ProblemList
from tests.tui.home_support import FakeSource, Views, calm, no_remote, screen_text, until, versions

BAD = """\
# A project of this factory.
name = "app"
repo = "acme app"
forge_urll = "http://forge.example:3000"

[factory]
forge = "externl"
"""
GOOD = 'name = "app"\nrepo = "acme/app"\n'
DENIED = Unavailable(
    "ghcr.io does not let us see disinto/agents.",
    "The image is private, and there is no login for it.",
    "Log in below, or with `docker login ghcr.io`.",
    code="registry.denied",
)


def prepared(directory: Path) -> Prepared:
    """A plan that writes one file, with a secret to hand over."""
    plan = Plan(
        "init",
        "Make the factory disinto",
        str(directory),
        "disinto",
        "",
        (Step("files", "Write files", "files"),),
        files=(FileChange("docker-compose.yml", "create"),),
    )
    return Prepared(plan, {"docker-compose.yml": b"services: {}\n"}, {"FORGE_TOKEN": "t0ken-of-ops"})


class Launches:
    """A launcher that starts nothing."""

    def __init__(self) -> None:
        self.secrets: list[Mapping[str, str]] = []

    def __call__(self, run: RunDir, *, undo: bool = False, secrets: Mapping[str, str] | None = None) -> int:
        self.secrets.append(dict(secrets or {}))
        return 1


def init_app(
    directory: Path, source: FakeSource, config: str = "", launcher: Launches | None = None
) -> DisintoApp:
    """The app with Init over Home, as the `i` key makes it."""
    app = DisintoApp(
        Instance.at(directory / "factory"),
        config=directory / "settings",
        launcher=launcher or Launches(),
        first=lambda: HomeScreen(views=Views(calm(directory)), remote=no_remote),
    )
    app.call_later(lambda: app.open_init(config=config, source=source))
    return app


def on_page(app: DisintoApp, number: int) -> Callable[[], bool]:
    return lambda: isinstance(app.screen, InitScreen) and app.screen.page == number


def ready(app: DisintoApp) -> Callable[[], object]:
    """The config on the page was checked and is good."""
    return lambda: any(page.project for page in app.screen.query(ConfigPage))


async def test_four_pages_to_a_run(tmp_path: Path) -> None:
    source, launches = FakeSource(plans=[prepared(tmp_path)]), Launches()
    app = init_app(tmp_path, source, launcher=launches)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        await pilot.press(*"s3cret-token")
        assert "s3cret" not in screen_text(pilot)
        await pilot.press("enter")
        await until(pilot, on_page(app, 1))
        await until(pilot, lambda: "token  ● ops, an admin there" in screen_text(pilot))
        assert "✓ acme/app · bundled forge" in screen_text(pilot)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "v0.4.1            newest" in screen_text(pilot))
        await pilot.press("tab", "tab", "down", "enter")  # the second version in the list
        assert app.screen.query_one("#version", Input).value == "v0.3.0"
        assert not (tmp_path / "factory").exists()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert not (tmp_path / "factory").exists(), "nothing is written before the last yes"
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert launches.secrets == [{"FORGE_TOKEN": "t0ken-of-ops"}]
        (run,) = (tmp_path / "factory/.disinto/runs").iterdir()
        assert (run / "staged/docker-compose.yml").read_bytes() == b"services: {}\n"
        (request,) = source.requests
        assert request.version == "v0.3.0"
        assert request.token is not None and request.token.reveal() == "s3cret-token"
        assert request.config.startswith(b"# A project of this factory.")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_problems_stand_beside_their_lines_all_at_once(tmp_path: Path) -> None:
    config = tmp_path / "acme.toml"
    config.write_text(BAD)
    app = init_app(tmp_path, FakeSource(), str(config))
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, on_page(app, 0))
        await pilot.press("enter")
        await until(pilot, lambda: "▲ repo" in screen_text(pilot))
        text = screen_text(pilot)
        assert '3▲ repo = "acme app"   ← “acme app” is not owner/name' in text
        assert '4▲ forge_urll = "http://forge.example:3000"   ← no such key' in text
        assert '7▲ forge = "externl"   ← “externl” is no kind of forge (did you mean external?)' in text
        assert " ▲    7  factory.forge: " in text
        await pilot.press("ctrl+n")  # not before they are mended
        assert isinstance(app.screen, InitScreen) and app.screen.page == 1
        problems = app.screen.query_one(ProblemList)
        assert problems.has_focus
        await pilot.press("enter")  # to the line
        editor = app.screen.query_one(ConfigEditor)
        assert editor.has_focus and editor.cursor_location[0] == 2
        await pilot.press("end", "left", *(["backspace"] * 8), *"acme/app")
        await until(pilot, lambda: "owner/name" not in screen_text(pilot))
        assert problems.items == 2


async def test_a_file_saved_by_another_editor_is_read_again(tmp_path: Path) -> None:
    config = tmp_path / "acme.toml"
    config.write_text(BAD)
    app = init_app(tmp_path, FakeSource(), str(config))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, on_page(app, 0))
        await pilot.press("enter")
        await until(pilot, lambda: "▲ repo" in screen_text(pilot))
        config.write_text(GOOD)
        await until(pilot, lambda: "the file was saved elsewhere" in screen_text(pilot))
        await until(pilot, ready(app))
        # With changes here too nobody's text is thrown away.
        await pilot.press("#")
        config.write_text(GOOD + "# theirs\n")
        await until(pilot, lambda: "ctrl+r takes it" in screen_text(pilot))
        assert app.screen.query_one(ConfigPage).text.startswith("#name")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "# theirs" in screen_text(pilot))


async def test_the_config_is_saved_where_the_operator_says(tmp_path: Path) -> None:
    app = init_app(tmp_path, FakeSource())
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, ready(app))
        await pilot.press("enter", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, AskLine))
        app.screen.query_one(Input).value = str(tmp_path / "mine.toml")
        await pilot.press("enter")
        await until(pilot, lambda: "Saved as" in screen_text(pilot))
        assert (tmp_path / "mine.toml").read_text().startswith("# A project of this factory.")
        assert not app.screen.query_one(ConfigPage).touched


async def test_a_token_can_come_from_a_file_and_a_bad_one_is_told_in_place(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("two words\n")
    app = init_app(tmp_path, FakeSource(plans=[prepared(tmp_path)]))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, ready(app))
        app.screen.query_one("#token-file", Input).value = str(tmp_path / "token")
        await pilot.press("enter")
        await until(pilot, lambda: "▲ That is not a token." in screen_text(pilot))
        assert isinstance(app.screen, InitScreen) and app.screen.page == 0
        (tmp_path / "token").write_text("t0ken\n")
        await pilot.press("enter")
        await until(pilot, on_page(app, 1))
        assert app.screen.token is not None and app.screen.token.reveal() == "t0ken"


async def test_a_token_that_is_there_is_kept_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORGE_TOKEN", raising=False)
    (tmp_path / "factory").mkdir()
    (tmp_path / "factory/.env").write_text("FORGE_TOKEN=kept-token\n")
    source = FakeSource(plans=[prepared(tmp_path)])
    app = init_app(tmp_path, source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        assert ".env holds a token already" in screen_text(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: [token and token.reveal() for token in source.tokens] == ["kept-token"])
        await pilot.press("ctrl+n", "ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert source.requests[0].token is None, "the plan leaves the one in .env alone"


async def test_what_the_forge_says_of_the_token(tmp_path: Path) -> None:
    refused = BadInput(
        "The forge f does not accept the token.", "It is mistyped.", "Make one.", code="forge.token"
    )
    for check, words in (
        (TokenCheck(user=ForgeUser("bot", 2, "", False)), "token  ● bot, not an admin"),
        (TokenCheck(error=refused), "token  ▲ The forge f does not accept the token."),
        (TokenCheck(unknown="cannot be checked yet"), "token  cannot be checked yet"),
    ):
        app = init_app(tmp_path, FakeSource(token=check))
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, ready(app))
            await pilot.press("x", "enter")
            await until(pilot, lambda words=words: words in screen_text(pilot))


async def test_a_private_registry_asks_for_a_login(tmp_path: Path) -> None:
    source = FakeSource(found=versions(error=DENIED), plans=[prepared(tmp_path)])
    app = init_app(tmp_path, source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        await pilot.press("enter", "ctrl+n")
        await until(pilot, lambda: "user name at the registry" in screen_text(pilot))
        assert app.focused is not None and app.focused.id == "registry-user"
        await pilot.press(*"puller", "enter", *"pass", "enter")
        await until(pilot, lambda: "v0.3.0" in screen_text(pilot))
        assert "pass" not in screen_text(pilot).replace("password", "")
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        login = source.requests[0].registry_login
        assert login is not None and (login[0], login[1].reveal()) == ("puller", "pass")


async def test_errors_of_the_plan_stand_in_place_and_lead_to_a_cure(tmp_path: Path) -> None:
    edited = Refused(
        "docker-compose.yml was edited by hand.", "Somebody did.", "Keep it.", code="compose.edited"
    )
    why = "There is no socket where this host's engine has always had its own one until yesterday evening, and more."
    down = Unavailable("The engine does not answer.", why, "Start it.", code="engine.unreachable")
    source = FakeSource(plans=[down, edited, prepared(tmp_path)])
    app = init_app(tmp_path, source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        await pilot.press("enter", "ctrl+n", "ctrl+n")
        await until(pilot, lambda: "▲ The engine does not answer." in screen_text(pilot))
        rows = [row.rstrip() for row in screen_text(pilot).splitlines()]
        assert "     until yesterday evening, and more." in rows, "below the sentence, not below its mark"
        assert "[ Try again ]" in screen_text(pilot) and "^n try again" in screen_text(pilot)
        assert app.focused is not None and app.focused.id == "back", "the safe answer has the focus"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "[ Replace it, keep a backup ]" in screen_text(pilot))
        assert [request.overwrite for request in source.requests] == [False, False]
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert source.requests[-1].overwrite
        await pilot.press("escape")  # no
        await until(pilot, on_page(app, 3))
        assert "Nothing was written" in screen_text(pilot)
        assert not (tmp_path / "factory").exists()


async def test_back_is_always_possible_and_leaving_asks_when_something_was_typed(tmp_path: Path) -> None:
    app = init_app(tmp_path, FakeSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        await pilot.press("x", "enter", "ctrl+n")
        await until(pilot, on_page(app, 2))
        assert "esc back" in screen_text(pilot)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: on_page(app, 0)() and "esc cancel" in screen_text(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        await pilot.press("enter")  # the safe answer: stay
        await until(pilot, on_page(app, 0))
        await pilot.press("escape", "tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_a_config_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    app = init_app(tmp_path, FakeSource(), str(tmp_path / "none.toml"))
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "cannot be read." in screen_text(pilot))


async def test_back_keeps_what_was_typed(tmp_path: Path) -> None:
    app = init_app(tmp_path, FakeSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        await pilot.press(*"t0ken", "enter")
        await until(pilot, on_page(app, 1))
        await pilot.press(*"# mine", "enter", "ctrl+n")  # at once: it goes on when the check is done
        await until(pilot, on_page(app, 2))
        await pilot.press(*"v0.2.9", "escape", "escape")
        await until(pilot, on_page(app, 0))
        assert app.screen.query_one("#token", Input).value == "t0ken"
        await pilot.press("ctrl+n")
        assert app.screen.query_one(ConfigPage).text.startswith("# mine\n# A project")
        await pilot.press("ctrl+n")
        await until(pilot, on_page(app, 2))
        assert app.screen.query_one("#version", Input).value == "v0.2.9"
        assert not (tmp_path / "factory").exists()


async def test_without_a_token_the_bundled_forge_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORGE_TOKEN", raising=False)
    source = FakeSource(token=TokenCheck(unknown="none given"), plans=[prepared(tmp_path)])
    app = init_app(tmp_path, source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        assert "The bundled forge starts without one" in screen_text(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "token  none given" in screen_text(pilot))
        await pilot.press("ctrl+n", "ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert source.requests[0].token is None


async def test_an_empty_version_says_what_it_means(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(GOOD + '[factory]\nversion = "v0.2.9"\n')
    app = init_app(tmp_path, FakeSource(), str(tmp_path / "acme.toml"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        await pilot.press("enter", "ctrl+n")
        await until(pilot, lambda: "empty: v0.2.9, as the config says" in screen_text(pilot))


class Unanswered(FakeSource):
    """Nobody to ask for versions."""

    async def versions(self, instance: Instance, project: Project, login: Login | None) -> Catalog:
        raise Unavailable("No docker context.", "It is broken.", "Mend it.", code="engine.context")


async def test_versions_that_cannot_be_asked_for_are_no_wait_without_end(tmp_path: Path) -> None:
    app = init_app(tmp_path, Unanswered())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        await pilot.press("enter", "ctrl+n")
        await until(pilot, lambda: "▲ No docker context." in screen_text(pilot))
        assert "Asking" not in screen_text(pilot)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            Failed("The disk is full.", "0 bytes are free.", "Make room.", code="disk.full"),
            "The disk is full.",
        ),
        (PermissionError(13, "Permission denied", "/srv/acme"), "/srv/acme cannot be used."),
    ],
)
async def test_a_run_that_cannot_be_written_is_told_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: DisintoError | OSError, words: str
) -> None:
    def fails(*_: object) -> RunDir:
        raise error

    monkeypatch.setattr("disinto_tui.adapters.journal.create_run", fails)
    launches = Launches()
    app = init_app(tmp_path, FakeSource(plans=[prepared(tmp_path)]), launcher=launches)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        await pilot.press("x", "enter", "ctrl+n", "ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: f"▲ {words}" in screen_text(pilot))
        assert on_page(app, 3)() and not launches.secrets


def test_the_config_page_looks_as_pinned(snap_compare: Callable[..., bool], tmp_path: Path) -> None:
    config = tmp_path / "acme.toml"
    config.write_text(BAD)
    app = DisintoApp(
        Instance.at("/srv/acme"),
        config=tmp_path / "settings",
        first=lambda: InitScreen(config=str(config), source=FakeSource()),
    )

    async def show(pilot: Any) -> None:
        await until(pilot, lambda: "paste it" in screen_text(pilot))
        await pilot.press("enter")
        # The path of this test's own directory is not what is pinned.
        pilot.app.screen.query_one("#path", Input).value = "acme.toml"
        await until(pilot, lambda: "▲ repo" in screen_text(pilot))

    assert snap_compare(app, terminal_size=(80, 24), run_before=show)
