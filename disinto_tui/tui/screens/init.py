"""Init: a new factory from a token and a config, in four short pages.

Back is always possible and nothing is written before the review is answered. Workers ask the outside through
an `InitSource` and only post messages; the handlers here own what is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from textual import work
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.screens.dialogs import Choice
from disinto_tui.tui.screens.init_config import ConfigPage, check_save
from disinto_tui.tui.screens.init_pages import ReviewPage, TokenPage
from disinto_tui.tui.screens.init_source import InitSource, beginning, system_error, typed_token
from disinto_tui.tui.screens.init_version import VersionPage
from disinto_tui.tui.screens.wizard import PageLine, Verdict, WizardScreen
from disinto_tui.tui.widgets.home_lines import Line, LineList

if TYPE_CHECKING:
    from disinto_tui.core.model import Project
    from disinto_tui.core.redact import Secret
    from disinto_tui.runs.init_checks import TokenCheck
    from disinto_tui.runs.init_model import InitRequest, Prepared

TOKEN, CONFIG, VERSION, REVIEW = range(4)
_CURES = {"compose.edited": "overwrite", "compose.foreign": "overwrite", "run.unfinished": "unfinished"}
_CURE_WORDS = {
    "overwrite": "Replace it, keep a backup",
    "unfinished": "Show that run",
    "again": "Review again",
}


class InitScreen(WizardScreen):
    """The four pages. `config` is a path to begin with; `source` gives the answers of the outside."""

    PAGES = ("token", "config", "version", "review")
    SCOPES = ("init",)
    HELP = (
        "A new factory in four pages. Nothing is written before you have read the review and said yes; esc goes "
        "back a page at any time."
    )
    BINDINGS = bindings("init")

    class TokenChecked(Message):
        """The forge was asked about a token."""

        def __init__(self, asked: tuple[str, Secret | None], check: TokenCheck) -> None:
            super().__init__()
            self.asked, self.check = asked, check

    class Planned(Message):
        """There is a plan, or an error instead."""

        def __init__(self, prepared: Prepared | None, error: DisintoError | None) -> None:
            super().__init__()
            self.prepared, self.error = prepared, error

    def __init__(self, *, config: str = "", source: InitSource | None = None) -> None:
        super().__init__()
        self.source = source or InitSource()
        self.page = TOKEN
        self.token: Secret | None = None
        self.token_check: TokenCheck | None = None
        self.overwrite = False
        self._config = config
        self._kept: Secret | None = None
        self._token_asked: tuple[str, Secret | None] | None = None
        self._cure = ""

    def headline(self) -> str:
        """Where the factory will be."""
        return f"disinto · init · {self.disinto.instance.path}"

    def make_pages(self) -> Iterable[Widget]:
        """The four, with what they begin with."""
        instance = self.disinto.instance
        try:
            start = beginning(instance, self._config)
        except BadInput as error:
            start = beginning(instance)
            self.call_after_refresh(self.disinto.show_error, error)
        self._kept = start.kept
        yield TokenPage(start.token_note)
        yield ConfigPage(instance, self.source, start.text, start.path)
        yield VersionPage(instance, self.source, start.version)
        yield ReviewPage()

    def on_mount(self) -> None:
        """The first page; the config is checked meanwhile, so that the token can be."""
        self._go(TOKEN)

    # -- pages -----------------------------------------------------------------------------------------------

    def _go(self, page: int) -> None:
        self.page = page
        shown = self.turn_to(self.PAGES[page])
        self._label_buttons()
        self._show_facts()
        if page == REVIEW:
            self.query_one("#back", Choice).focus()
        else:
            shown.begin()

    def _label_buttons(self) -> None:
        for name, word in zip(("back", "next"), self._words(), strict=True):
            self.query_one(f"#{name}", Choice).say(word)
        self.refresh_bindings()

    def key_label(self, action_id: str) -> str:
        """The keys in the words of the buttons."""
        at_end = self.page == REVIEW and action_id == "init.next"
        if at_end or (self.page == TOKEN and action_id == "init.back"):
            return self._words()[at_end].lower()
        return ""

    def _words(self) -> tuple[str, str]:
        """What the two buttons say."""
        if self.page == REVIEW:
            return "Back", _CURE_WORDS.get(self._cure, "Try again")
        return ("Cancel" if self.page == TOKEN else "Back"), "Next"

    def _show_facts(self) -> None:
        self.query_one(PageLine).show(self.page, self._facts())

    def _facts(self) -> Line:
        check = self.token_check
        if self.page == TOKEN or (check is None and self._token_asked is None):
            return ()
        if check is None:
            return (("token  ", "dim"), ("asking the forge whose it is …", "dim"))
        if check.error is not None:
            return (("token  ", "dim"), ("▲ ", "bad"), (f"{check.error.what} {check.error.why}", "plain"))
        if check.user is None:
            return (("token  ", "dim"), (check.unknown, "dim"))
        rights = "an admin there" if check.user.is_admin else "not an admin"
        return (("token  ", "dim"), ("● ", "good"), (check.user.login, "strong"), (f", {rights}", "plain"))

    def action_back(self) -> None:
        """A page back; from the first one, out."""
        if self.page == TOKEN:
            self._leave()
        else:
            self.workers.cancel_group(self, "plan")
            self._cure = ""
            self._go(self.page - 1)

    def _leave(self) -> None:
        if not self.query_one(ConfigPage).touched and not self._value("token"):
            self.dismiss()
            return
        from disinto_tui.tui.screens.dialogs import Ask

        ask = Ask(
            "Leave without making a factory?",
            "What was typed here is forgotten; nothing was written.",
            yes="Leave",
            no="Stay",
        )
        self.app.push_screen(ask, lambda yes: self._left() if yes else None)

    def _left(self) -> None:
        # Screens leave from the top: after the question is gone.
        self.call_later(self.close)

    def action_next(self) -> None:
        """A page on, when this one is complete."""
        (self._token_done, self._config_done, self._version_done, self._review_again)[self.page]()

    # -- token -----------------------------------------------------------------------------------------------

    def _token_done(self) -> None:
        verdict = self.query_one("#token-verdict", Verdict)
        try:
            self.token = typed_token(self._value("token"), self._value("token-file"))
        except BadInput as error:
            verdict.say_error(error)
            return
        verdict.say("")
        self._ask_forge()
        self._go(CONFIG)

    def _ask_forge(self) -> None:
        """Ask whose token it is, once for each forge and token."""
        project = self.query_one(ConfigPage).project
        if project is None:
            return
        asked = (f"{project.factory.forge} {project.forge_url}", self.token or self._kept)
        if asked == self._token_asked:
            return
        self._token_asked, self.token_check = asked, None
        self._show_facts()
        self._check_token(asked, project)

    @work(group="token", exclusive=True, exit_on_error=False)
    async def _check_token(self, asked: tuple[str, Secret | None], project: Project) -> None:
        self.post_message(self.TokenChecked(asked, await self.source.check_token(project, asked[1])))

    def on_init_screen_token_checked(self, message: InitScreen.TokenChecked) -> None:
        """Say whose token it is, wherever the operator is by now."""
        if message.asked == self._token_asked:
            self.token_check = message.check
            self._show_facts()

    # -- config and version ----------------------------------------------------------------------------------

    def on_config_page_checked(self, message: ConfigPage.Checked) -> None:
        """Another forge may know the token, or not."""
        if self.page != TOKEN:
            self._ask_forge()
        if message.go_on and self.page == CONFIG:
            self._config_done()

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        """To the line of a problem; a version into its field."""
        if message.widget.id == "problems":
            self.query_one(ConfigPage).show_problem(message.index)
        else:
            self.query_one(VersionPage).take(message.index)
            self.query_one("#next", Choice).focus()

    def _config_done(self) -> None:
        config = self.query_one(ConfigPage)
        if config.complete() and config.project is not None:
            self._ask_forge()
            self._go(VERSION)
            self.query_one(VersionPage).ask(config.project)

    def _version_done(self) -> None:
        if self.query_one(VersionPage).complete():
            self._go(REVIEW)
            self._plan()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in a field is Next, where the page has no use for it."""
        self.action_next()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Saving and reading belong to the config page."""
        if action == "save":
            return self.page == CONFIG
        if action == "reread":
            return self.page == CONFIG and bool(self.query_one(ConfigPage).path)
        return True

    def action_reread(self) -> None:
        """Take the config's file as it is on disk."""
        config = self.query_one(ConfigPage)
        config.read(config.path)

    def action_save(self) -> None:
        """Write the config's text to a file of the operator's choice."""
        from disinto_tui.tui.screens.dialogs import AskLine

        config = self.query_one(ConfigPage)
        ask = AskLine("Save the config as", config.suggestion(), check_save)
        self.app.push_screen(ask, lambda path: config.save(path) if path else None)

    # -- review ----------------------------------------------------------------------------------------------

    def _value(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value

    def _request(self) -> InitRequest:
        from disinto_tui.runs.init_model import InitRequest

        config, version = self.query_one(ConfigPage), self.query_one(VersionPage)
        return InitRequest(
            self.disinto.instance,
            config.called,
            config.text.encode(),
            self.token,
            version.version,
            version.build,
            True,
            self.overwrite,
            version.login,
        )

    def _plan(self) -> None:
        self._cure = ""
        self._label_buttons()
        self.query_one("#review-verdict", Verdict).say("Asking the engine, the forge and the registry …")
        self._make_plan(self._request())

    @work(group="plan", exclusive=True, exit_on_error=False)
    async def _make_plan(self, request: InitRequest) -> None:
        try:
            prepared = await self.source.plan(request)
        except DisintoError as error:
            self.post_message(self.Planned(None, error))
        except OSError as error:
            self.post_message(self.Planned(None, system_error(error)))
        else:
            self.post_message(self.Planned(prepared, None))

    def on_init_screen_planned(self, message: InitScreen.Planned) -> None:
        """Show the plan; or say why there is none, and lead to where it can be mended."""
        if self.page != REVIEW:
            return
        verdict = self.query_one("#review-verdict", Verdict)
        if message.prepared is not None:
            self._review(message.prepared)
            return
        error = cast(DisintoError, message.error)
        if error.code == "registry.denied":
            self._go(VERSION)
            self.query_one(VersionPage).refused(error)
            return
        self._cure = _CURES.get(error.code, "")
        self._label_buttons()
        verdict.say_error(error, details=10)

    def _review(self, prepared: Prepared) -> None:
        verdict = self.query_one("#review-verdict", Verdict)
        if not prepared.plan.changes:
            verdict.say("Everything is as this config says already; there is nothing to do.", "good")
            return
        self._cure = "again"
        self._label_buttons()
        verdict.say("Nothing was written. Back changes something, or look at the plan again.", "plain")
        self.disinto.review(prepared.plan, lambda yes: self._answered(prepared, yes), yes="Make it")

    def _answered(self, prepared: Prepared, yes: bool) -> None:
        if yes:
            # The review is still on top while it answers; the run's screen goes over this one.
            self.call_later(self._begin, prepared)

    def _begin(self, prepared: Prepared) -> None:
        from disinto_tui.adapters.journal import create_run

        try:
            run = create_run(self.disinto.instance, prepared.plan, dict(prepared.staged))
        except (DisintoError, OSError) as error:
            said = error if isinstance(error, DisintoError) else system_error(error)
            self.query_one("#review-verdict", Verdict).say_error(said)
            return
        self.begun = self.disinto.begin(run, secrets=dict(prepared.secrets))

    def _review_again(self) -> None:
        if self._cure == "unfinished":
            from disinto_tui.adapters.journal import unfinished_run

            run = unfinished_run(self.disinto.instance)
            if run is not None:
                self.disinto.open_run(run)
            return
        if self._cure == "overwrite":
            self.overwrite = True
        self._plan()
