"""The config page: a file's or the sample's text, checked while it is typed, read again when it is saved elsewhere."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, TextArea

from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.tui.screens.init_source import InitSource, read_text
from disinto_tui.tui.screens.wizard import Page, Verdict, field
from disinto_tui.tui.widgets.config_editor import ConfigEditor, ProblemList
from disinto_tui.tui.widgets.home_lines import Line

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.model import Project
    from disinto_tui.runs.init_checks import ConfigCheck

SAMPLE = "the config"
"""What a config without a file is called in messages."""
VALIDATE_SECONDS = 0.15
"""After the last keystroke: quick enough to feel live, slow enough not to run for every letter."""
FILE_SECONDS = 1.0
"""How often the config's file is looked at for what another editor saved (one `stat`)."""


class ConfigPage(Page):
    """Owns the config's text, where it came from, and what is wrong with it. `project` is what it says, None
    as long as something stands in the way."""

    DEFAULT_CSS = """
    ConfigPage { padding: 0; }
    ConfigPage .field { margin-bottom: 0; }
    ConfigPage .label { width: 7; padding: 0 0 0 1; }
    ConfigPage .field { padding-right: 1; }
    ConfigPage Verdict { padding: 0 1; margin-bottom: 0; }
    """

    class Checked(Message):
        """The text was checked; `project` is new. `go_on`: the operator asked for the next page meanwhile."""

        def __init__(self, go_on: bool) -> None:
            super().__init__()
            self.go_on = go_on

    class _Result(Message):
        def __init__(self, text: str, check: ConfigCheck) -> None:
            super().__init__()
            self.text, self.check = text, check

    def __init__(self, instance: Instance, source: InitSource, text: str, path: str) -> None:
        super().__init__(id="page-config")
        self.path = path
        self.project: Project | None = None
        self._instance, self._source = instance, source
        self._loaded = text
        self._checked: str | None = None
        self._go_on = False
        self._stamp = self._stamp_now()
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """The file's name, its text, and all its problems."""
        yield field("file", "path", value=self.path, hint="none: this is a sample; ↵ reads a file named here")
        yield ConfigEditor(self._loaded, id="editor")
        yield Verdict(id="config-verdict")
        yield ProblemList(id="problems")

    def on_mount(self) -> None:
        """Check what there is; look for what other editors save."""
        self._check(self.called, self._loaded)
        self.set_interval(FILE_SECONDS, self._look_at_file)

    def begin(self) -> None:
        """The text comes first."""
        self._go_on = False
        self.query_one(ConfigEditor).focus()

    @property
    def text(self) -> str:
        """The config as it stands in the editor."""
        return self.query_one(ConfigEditor).text

    @property
    def touched(self) -> bool:
        """Whether the text is another than was read."""
        return self.text != self._loaded

    @property
    def called(self) -> str:
        """What messages call it: its path, or words for the sample."""
        return self.path or SAMPLE

    def complete(self) -> bool:
        """Whether the config can be used; when not, say why and go there."""
        verdict = self.query_one(Verdict)
        if self._checked != self.text:
            self._go_on = True  # when the answer is there
            self._validate()
            return False
        if self.project is None:
            verdict.say("The lines below stand in the way; mend them first.", "warn")
            self.query_one(ProblemList).focus()
            return False
        verdict.say("")
        return True

    # -- checking --------------------------------------------------------------------------------------------

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Check what is typed, a moment after the last letter."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(VALIDATE_SECONDS, self._validate)

    def _validate(self) -> None:
        self._check(self.called, self.text)

    @work(group="config", exclusive=True, exit_on_error=False)
    async def _check(self, name: str, text: str) -> None:
        self.post_message(self._Result(text, await self._source.check_config(self._instance, name, text)))

    def on_config_page__result(self, message: ConfigPage._Result) -> None:
        """Show the problems beside their lines."""
        if message.text != self.text:
            return  # typed on meanwhile; the next check is under way
        self._checked, self.project = message.text, message.check.project
        problems = message.check.problems
        self.query_one(ConfigEditor).mark([item for item in problems if item.file == self.called])
        self.query_one(ProblemList).show(problems, self.called, self._sound())
        self.post_message(self.Checked(self._go_on))
        self._go_on = False

    def _sound(self) -> Line:
        project = self.project
        if project is None:
            return ()
        forge = "bundled forge" if project.factory.forge == "bundled" else f"forge {project.forge_url}"
        words = (
            f"{project.repo} · {forge} · {project.factory.agents_image} · project {project.factory.project}"
        )
        return ((" ", "plain"), ("✓ ", "good"), (words, "dim"))

    def show_problem(self, index: int) -> None:
        """Put the cursor where a problem of the list is."""
        problem = self.query_one(ProblemList).problem_at(index)
        if problem.file == self.called:
            editor = self.query_one(ConfigEditor)
            editor.move_cursor((max(0, problem.line - 1), max(0, (problem.column or 1) - 1)))
            editor.focus()

    # -- the file --------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter on the file's name reads it."""
        event.stop()
        self.read(event.value.strip())

    def read(self, path: str) -> None:
        """Take a file's text."""
        verdict = self.query_one(Verdict)
        try:
            text = read_text(path)
        except BadInput as error:
            verdict.say_error(error)
            return
        self._take(path, text)
        verdict.say(f"Read {path}.")
        self.query_one(ConfigEditor).focus()

    def _take(self, path: str, text: str) -> None:
        self.path, self._loaded = path, text
        self._stamp = self._stamp_now()
        editor = self.query_one(ConfigEditor)
        at = editor.cursor_location
        editor.load_text(text)
        editor.move_cursor(at)
        self._validate()

    def _stamp_now(self) -> tuple[int, int] | None:
        with suppress(OSError):
            if self.path:
                found = Path(self.path).expanduser().stat()
                return found.st_mtime_ns, found.st_size
        return None

    def _look_at_file(self) -> None:
        """Another editor may have saved the file."""
        stamp = self._stamp_now()
        if stamp is None or stamp == self._stamp:
            return
        self._stamp = stamp
        verdict = self.query_one(Verdict)
        with suppress(BadInput):
            text = read_text(self.path)
            if text == self.text:
                self._loaded = text
            elif not self.touched:
                self._take(self.path, text)
                verdict.say(f"Read again at {time.strftime('%H:%M:%S')}: the file was saved elsewhere.")
            else:
                verdict.say("The file was saved elsewhere too: ctrl+r takes it, ctrl+s writes yours.", "warn")

    def suggestion(self) -> str:
        """Where to save it."""
        return self.path or str(Path.cwd() / f"{self.project.name if self.project else 'factory'}.toml")

    def save(self, path: str) -> None:
        """Write the text to a file, whole or not at all."""
        from disinto_tui.adapters.instance import replace_file

        text, verdict = self.text, self.query_one(Verdict)
        try:
            replace_file(Path(path).expanduser().absolute(), text.encode())
        except DisintoError as error:
            verdict.say_error(error)
            return
        self.path, self._loaded = path, text
        self._stamp = self._stamp_now()
        self.query_one("#path", Input).value = path
        verdict.say(f"Saved as {path}.")
        self._validate()


def check_save(path: str) -> str:
    """Why a config cannot be saved there, or a question; "" when it can."""
    where = Path(path).expanduser()
    if not path.strip() or where.is_dir():
        return "Name a file."
    if not where.parent.is_dir():
        return f"There is no directory {where.parent}."
    return f"{where.name} is there already. Enter again to replace it?" if where.exists() else ""
