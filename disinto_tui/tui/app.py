"""The terminal UI: one app, lazily imported screens, and nothing that ticks while nothing happens."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.binding import Binding
from textual.filter import Monochrome, NoColor
from textual.screen import Screen

from disinto_tui.adapters.instance import Instance
from disinto_tui.tui import screens, theme
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.keys import config_directory, read_keymap, read_setting, write_setting

if TYPE_CHECKING:
    from disinto_tui.adapters.journal import RunDir
    from disinto_tui.core.errors import DisintoError
    from disinto_tui.core.plan import Plan
    from disinto_tui.core.redact import Secret
    from disinto_tui.tui.screens.logs import LogSource

Launcher = Callable[..., int]
"""`launch(run, *, undo=False, secrets=None) -> pid`: starts the process that executes a run."""


def _launch(run: RunDir, *, undo: bool = False, secrets: Mapping[str, str] | None = None) -> int:
    from disinto_tui.runs.launch import launch

    return launch(run, undo=undo, secrets=secrets)


def _palette() -> Any:
    from disinto_tui.tui.palette import ActionProvider

    return ActionProvider


class DisintoApp(App[int]):
    """The terminal UI on one instance.

    `launcher` starts runs; tests hand in their own. `config` is the operator's settings directory. `first`
    makes the screen at the bottom of the stack; without it that is Home.
    """

    CSS_PATH = "styles.tcss"
    TITLE = "disinto"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS = {_palette}
    BINDINGS = bindings("app")
    AUTO_FOCUS = "*"

    def __init__(
        self,
        instance: Instance,
        *,
        launcher: Launcher | None = None,
        config: Path | None = None,
        first: Callable[[], Screen[Any]] | None = None,
    ) -> None:
        super().__init__()
        self.instance = instance
        self.launcher: Launcher = launcher or _launch
        self.config = config or config_directory()
        self.project = instance.path.name
        self.endpoint = ""
        self._first = first or screens.home_screen
        self.handed: dict[str, dict[str, str]] = {}
        self.typed: dict[str, Mapping[str, Secret]] = {}
        self.animation_level = "none"
        self.keymap = read_keymap(self.config)
        for item in theme.THEMES:
            self.register_theme(item)
        self.theme = read_setting(self.config, "theme")
        if self.no_color:
            # NO_COLOR asks for no colour at all; Textual's own answer is shades of grey.
            self._filters = [NoColor() if isinstance(item, Monochrome) else item for item in self._filters]

    def get_default_screen(self) -> Screen[Any]:
        """The screen at the bottom of the stack."""
        return self._first()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables, for the moment before a theme is set."""
        return dict(theme.THEMES[0].variables)

    def on_mount(self) -> None:
        """Apply the operator's keys, and say what could not be used."""
        if self.keymap.keys:
            self.set_keymap(dict(self.keymap.keys))
        if self.keymap.problems:
            self.call_after_refresh(self._say_problems)  # before the first paint nothing would show them

    def _say_problems(self) -> None:
        for problem in self.keymap.problems:
            self.notify(problem, title="Keys", severity="warning", markup=False)

    # -- what screens use ------------------------------------------------------------------------------------

    def where(self) -> str:
        """The header's right text: the engine and the project."""
        engine = f"engine {self.endpoint} · " if self.endpoint else ""
        return f"{engine}project {self.project}"

    def set_where(self, project: str, endpoint: str) -> None:
        """Tell every header which project and engine this is, once it is known."""
        from disinto_tui.tui.screens.base import DisintoScreen
        from disinto_tui.tui.widgets.frame import TopLine

        self.project, self.endpoint = project, endpoint
        for screen in self.screen_stack:
            if isinstance(screen, DisintoScreen):
                for line in screen.query("#top").results(TopLine):
                    line.say(right=screen.aside())

    def open_run(self, run: RunDir, pid: int | None = None) -> None:
        """Show a run, live or afterwards."""
        self.push_screen(screens.run_screen(run, pid))

    def open_logs(self, source: LogSource, service: str = "") -> None:
        """Show the services' logs; `source` makes the stream (`runs.logs.follow_logs`)."""
        self.push_screen(screens.logs_screen(source, service))

    def open_init(self, **options: Any) -> None:
        """Begin a new factory here."""
        self.push_screen(screens.init_screen(options))

    def open_release(self, **options: Any) -> None:
        """Cut a release."""
        self.push_screen(screens.release_screen(options))

    def open_request(self, name: str) -> None:
        """Show where a request for approval stands."""
        self.push_screen(screens.request_screen(name))

    def open_doctor(self) -> None:
        """Look whether the factory is sound."""
        self.push_screen(screens.doctor_screen())

    def open_versions(self, **options: Any) -> None:
        """Show the versions there are."""
        self.push_screen(screens.versions_screen(options))

    def review(
        self,
        plan: Plan,
        answer: Callable[[bool], None],
        *,
        yes: str = "Do it",
        at_work: Sequence[str] = (),
        idle: Callable[[], None] | None = None,
    ) -> None:
        """Show a plan; `answer` is called with what the operator decided.

        `at_work` says who is interrupted by it; `idle` is called instead when the operator rather waits for them.
        """

        def decided(result: str | None) -> None:
            if result == "idle" and idle is not None:
                idle()
            else:
                answer(result == "yes")

        self.push_screen(screens.review_screen(plan, yes, at_work, idle is not None), decided)

    def start(
        self,
        plan: Plan,
        staged: dict[str, bytes] | None = None,
        *,
        secrets: Mapping[str, str] | None = None,
        typed: Mapping[str, Secret] | None = None,
    ) -> bool:
        """Make a run of a confirmed plan and begin it. False (and a message) when it cannot be.

        `typed` are those of the secrets that the operator typed in: they are nowhere else, and are not looked for anew
        when the run is begun again.
        """
        from disinto_tui.adapters.journal import create_run
        from disinto_tui.core.errors import DisintoError
        from disinto_tui.tui.screens.base import unreadable

        try:
            run = create_run(self.instance, plan, staged or {})
        except DisintoError as error:
            self.show_error(error)
        except OSError as error:
            self.show_error(unreadable(error))
        else:
            self.typed[run.id] = typed or {}
            return self.begin(run, secrets=secrets)
        return False

    def begin(self, run: RunDir, *, undo: bool = False, secrets: Mapping[str, str] | None = None) -> bool:
        """Start a run's process and show it. False (and a message) when the instance is busy."""
        pid = self.launch(run, undo=undo, secrets=secrets)
        if pid is None:
            return False
        self.open_run(run, pid)
        return True

    def launch(
        self, run: RunDir, *, undo: bool = False, secrets: Mapping[str, str] | None = None
    ) -> int | None:
        """Start a run's process; its pid, or None (and a message) when the instance is busy.

        What it is handed is remembered, in memory alone, for when it is begun again from here.
        """
        from disinto_tui.core.errors import DisintoError

        if secrets:
            self.handed[run.id] = dict(secrets)
        try:
            return self.launcher(run, undo=undo, secrets=secrets or self.handed.get(run.id))
        except DisintoError as error:
            self.show_error(error)
            return None

    def show_error(self, error: DisintoError) -> None:
        """The three sentences of an error, until Enter or Esc; and what can be done about it at once."""
        from disinto_tui.tui.screens.dialogs import Notice
        from disinto_tui.tui.screens.holding import CODES, show_held

        if error.code in CODES:
            show_held(self, error)
            return
        self.push_screen(Notice(error.what, error.why, error.now))

    # -- actions ---------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Explain the focused widget and the keys that work here."""
        from disinto_tui.tui.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_palette(self) -> None:
        """Open the command palette."""
        self.action_command_palette()

    def action_theme(self) -> None:
        """Change to the next theme and remember it."""
        self.theme = theme.next_theme(self.theme)
        kept = "" if write_setting(self.config, "theme", self.theme) else " (for this session only)"
        self.notify(f"Theme: {self.theme}{kept}", timeout=2, markup=False)

    async def action_quit(self) -> None:
        """Leave; runs under way go on."""
        self.exit(0)

    def get_key_display(self, binding: Binding) -> str:
        """Keys as people write them: `↵`, `esc`, `N`, `^p`."""
        from disinto_tui.tui.key_names import key_name

        return key_name(binding.key)


def run_app(directory: str | Path) -> int:
    """Run the terminal UI on the instance in a directory; the exit code."""
    # A terminal that goes away takes this process with it, also under nohup; runs are processes of their own.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    app = DisintoApp(Instance.at(directory))
    code = app.run()
    return app.return_code or (code if isinstance(code, int) else 0)
