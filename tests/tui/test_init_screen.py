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
from disinto_tui.core.errors import BadInput, Refused, Unavailable
from disinto_tui.core.plan import FileChange, Plan, Step
from disinto_tui.runs.init_checks import TokenCheck
from disinto_tui.runs.init_model import Prepared
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.dialogs import Ask, AskPath
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.init import InitScreen
from disinto_tui.tui.screens.init_config import ConfigPage
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from disinto_tui.tui.widgets.config_editor import ConfigEditor, ProblemList
from tests.engine.conftest import SampleImages, project, sample_images  # noqa: F401
from tests.support.engine import Engine
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN
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
        await until(pilot, lambda: isinstance(app.screen, AskPath))
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
    down = Unavailable("The engine does not answer.", "No socket.", "Start it.", code="engine.unreachable")
    source = FakeSource(plans=[down, edited, prepared(tmp_path)])
    app = init_app(tmp_path, source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, ready(app))
        await pilot.press("enter", "ctrl+n", "ctrl+n")
        await until(pilot, lambda: "▲ The engine does not answer." in screen_text(pilot))
        assert "[ Try again ]" in screen_text(pilot)
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
        await pilot.press("escape", "escape")
        await until(pilot, on_page(app, 0))
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


# -- on the real engine --------------------------------------------------------------------------------------


@pytest.mark.engine
async def test_from_a_walk_through_the_pages_to_a_running_factory(
    engine: Engine,
    sample_images: SampleImages,  # noqa: F811
    project: str,  # noqa: F811
    forge: ForgeDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins, version="")
    factory: Factory = new_factory(tmp_path, engine.endpoint, project, text)
    monkeypatch.setenv("DOCKER_HOST", engine.endpoint)
    monkeypatch.setenv("CLAUDE_SHARED_DIR", str(tmp_path / "claude-shared"))
    monkeypatch.delenv("AGENTS_IMAGE", raising=False)
    monkeypatch.delenv("FORGE_TOKEN", raising=False)
    app = DisintoApp(Instance.at(factory.directory), config=tmp_path / "settings")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "There is no factory in" in screen_text(pilot), 30)
        app.open_init(config=str(factory.config))
        await until(pilot, ready(app), 20)
        await pilot.press(*ADMIN_TOKEN, "enter")
        await until(pilot, lambda: ", an admin there" in screen_text(pilot), 20)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "v0.3.0            newest" in screen_text(pilot), 20)
        app.screen.query_one("#version", Input).value = "v0.2.0"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen), 30)
        assert not factory.directory.exists()
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen), 20)
        await until(pilot, (factory.directory / "docker-compose.yml").exists, 30)
        await until(pilot, lambda: f"The factory {project} is running." in screen_text(pilot), 90)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), 10)
        await until(pilot, lambda: " v0.2.0  ● healthy" in screen_text(pilot), 30)
    assert ADMIN_TOKEN.encode() in (factory.directory / ".env").read_bytes()
    for path in (factory.directory / ".disinto").rglob("*"):
        assert not path.is_file() or ADMIN_TOKEN.encode() not in path.read_bytes(), path
