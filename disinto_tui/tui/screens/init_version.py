"""The version page: what to pin, or a checkout to build from; a login when the registry wants one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Input, Static

from disinto_tui.core.catalog import Catalog
from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.tui.screens.init_source import InitSource, Login, pinned_tag
from disinto_tui.tui.screens.wizard import Page, Verdict, field
from disinto_tui.tui.widgets.home_lines import Line, LineList

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.model import Project


class VersionChoice(LineList):
    """The versions of the repository, newest first; Enter takes one."""

    DEFAULT_CSS = "VersionChoice { height: 1fr; }"
    HELP = "The versions in the registry and on this host. Enter puts one into the field above."
    FIXED = 1

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._found: Catalog | None = None
        self._waiting = ""

    def wait_for(self, text: str) -> None:
        """Say what is being asked."""
        self._found, self._waiting = None, text
        self.rebuild()

    def show(self, found: Catalog) -> None:
        """Show versions; tags that are no versions are left out, they can be typed."""
        self._found = found
        self.rebuild()

    def tags(self) -> Sequence[str]:
        """The tags in the list."""
        return self._found.filtered() if self._found else []

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """A heading and one line a version."""
        if self._found is None:
            return [(), ((f"   {self._waiting}", "dim"),)] if self._waiting else [()], [-1, -1][
                : 2 if self._waiting else 1
            ]
        rows = [self._found.row(tag) for tag in self.tags()]
        others = self._found.hidden
        lines: list[Line] = [((f"   {'VERSION':<18}", "dim"), (f"of {self._found.repository}", "dim"))]
        owners = [-1]
        for number, row in enumerate(rows):
            words = [
                word
                for word, true in (
                    ("newest", row.marks.newest),
                    ("pinned", row.marks.pinned),
                    ("running", row.marks.running),
                    ("on this host", row.marks.local),
                    ("pre-release", row.kind == "pre-release"),
                )
                if true
            ]
            tone = "strong" if row.marks.newest else "plain"
            lines.append((("   ", "plain"), (f"{row.tag:<18}", tone), (" · ".join(words), "dim")))
            owners.append(number)
        if not rows:
            lines.append((("   No version is known.", "dim"),))
            owners.append(-1)
        if others:
            lines.append(((f"   {others} other tags are not listed; they can be typed above.", "dim"),))
            owners.append(-1)
        return lines, owners


class VersionPage(Page):
    """Owns what was chosen: a version or a directory to build in, and the registry's login."""

    class _Listed(Message):
        def __init__(self, found: Catalog) -> None:
            super().__init__()
            self.found = found

    def __init__(self, instance: Instance, source: InitSource, version: str) -> None:
        super().__init__(id="page-version")
        self.login: Login | None = None
        self._instance, self._source, self._version = instance, source, version
        self._asked: tuple[str, Login | None] | None = None
        self._project: Project | None = None
        self._wants_login = False

    def compose(self) -> ComposeResult:
        """Fields, the versions there are, and why some are missing."""
        yield field("version", "version", value=self._version, hint="empty: the newest release")
        if self._version:
            yield Static("AGENTS_IMAGE is set in this shell: it stands here.", classes="text", markup=False)
        yield field("or build in", "build", hint="a checkout: no pin, for work on disinto itself")
        yield Verdict(id="version-verdict")
        for row in (
            field("login", "registry-user", hint="user name at the registry"),
            field("password", "registry-password", hidden=True, hint="or token; ↵ asks the registry again"),
        ):
            row.add_class("-hidden")
            row.add_class("login")
            yield row
        yield VersionChoice(id="versions")

    def _value(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value

    @property
    def version(self) -> str:
        """What was named; "" leaves it to the pin, the config, the newest release."""
        return self._value("version").strip()

    @property
    def build(self) -> str | None:
        """The checkout to build in, absolute; None in image mode."""
        typed = self._value("build").strip()
        return str(Path(typed).expanduser().absolute()) if typed else None

    def complete(self) -> bool:
        """Whether the fields can be used; when not, say why."""
        if self._wants_login:
            self._take_login()
        if self.build is None or Path(self.build).is_dir():
            return True
        self.query_one(Verdict).say_error(
            BadInput(
                f"There is no directory {self.build}.",
                "The agents would be built from the checkout in it.",
                "Correct the path, or empty the field to use a version.",
                code="build.none",
            )
        )
        return False

    # -- the list --------------------------------------------------------------------------------------------

    def ask(self, project: Project) -> None:
        """Ask the registry of a config, once for each repository and login."""
        wanted = (project.factory.agents_image, self.login)
        self._project = project
        self.query_one("#version", Input).placeholder = self._left_empty(project)
        if wanted == self._asked:
            return
        self._asked = wanted
        host = project.factory.agents_image.partition("/")[0]
        self.query_one(VersionChoice).wait_for(f"Asking {host} for the versions …")
        self._list(project, self.login)

    def _left_empty(self, project: Project) -> str:
        """What an empty field means: as `plan_init` decides it."""
        pinned = pinned_tag(self._instance)
        if pinned:
            return f"empty: {pinned}, which is pinned now"
        if project.factory.version:
            return f"empty: {project.factory.version}, as the config says"
        return "empty: the newest release"

    @work(group="versions", exclusive=True, exit_on_error=False)
    async def _list(self, project: Project, login: Login | None) -> None:
        try:
            found = await self._source.versions(self._instance, project, login)
        except DisintoError as error:
            found = Catalog(project.factory.agents_image, error=error)
        self.post_message(self._Listed(found))

    def on_version_page__listed(self, message: VersionPage._Listed) -> None:
        """Show the versions, or why there are none; a private repository asks for a login."""
        self.query_one(VersionChoice).show(message.found)
        error = message.found.error
        if error is None:
            self.query_one(Verdict).say("")
            self._show_login(False)
        else:
            self._asked = None
            self.refused(error)

    def refused(self, error: DisintoError) -> None:
        """The registry did not tell; when it wants a login, ask for one."""
        self.query_one(Verdict).say_error(error, details=2)
        if error.code == "registry.denied":
            self._show_login(True)

    def _show_login(self, wanted: bool) -> None:
        self._wants_login = wanted
        for row in self.query(".login"):
            row.set_class(not wanted, "-hidden")
        if wanted and not self.has_class("-away"):
            self.query_one("#registry-user").focus()

    def _take_login(self) -> None:
        from disinto_tui.core.redact import Secret

        user, password = self._value("registry-user").strip(), self._value("registry-password")
        self.login = (user, Secret(password)) if user and password else None

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter on the login goes on in it; on the other fields it is Next, which the screen does."""
        if event.input.id == "registry-user":
            event.stop()
            self.query_one("#registry-password").focus()
        elif event.input.id == "registry-password" and self._project is not None:
            event.stop()
            self._take_login()
            self.ask(self._project)

    def take(self, index: int) -> None:
        """Put a version of the list into the field."""
        self.query_one("#version", Input).value = self.query_one(VersionChoice).tags()[index]
