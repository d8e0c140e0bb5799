"""A release in short pages: which version, where it is executed, with which credentials, and what stands in the way.

Nothing is changed before the review is answered. Workers ask the outside through a `ReleaseSource` and only post
messages; the handlers here own what is known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.screens import release_facts
from disinto_tui.tui.screens.base import in_words
from disinto_tui.tui.screens.dialogs import Choice
from disinto_tui.tui.screens.release_pages import (
    ChecksPage,
    CredentialsPage,
    Proposals,
    Ways,
    WherePage,
    WhichPage,
)
from disinto_tui.tui.screens.release_source import Push, ReleaseSource
from disinto_tui.tui.screens.wizard import PageLine, WizardScreen
from disinto_tui.tui.widgets.finding_list import FindingList
from disinto_tui.tui.widgets.home_lines import Line, LineList

if TYPE_CHECKING:
    from disinto_tui.core.plan import Plan
    from disinto_tui.runs.credentials import FoundCredential
    from disinto_tui.runs.release import PreparedRelease
    from disinto_tui.runs.release_checks import Finding
    from disinto_tui.runs.release_offer import Beginning, Offer, Published, Tree
    from disinto_tui.runs.request import PreparedRequest

VERSION, WHERE, CREDENTIALS, CHECKS = "version", "where", "credentials", "checks"
HERE, APPROVAL = (VERSION, WHERE, CREDENTIALS, CHECKS), (VERSION, WHERE, CHECKS)
_CURES = {"order": "force", "protection": "protect"}
"""What may be said yes to when nothing but that stands in the way."""
_CURE_WORDS = {"force": "Release it all the same", "protect": "Protect the branch, too"}


class ReleaseScreen(WizardScreen):
    """The pages. `source` gives the answers of the outside."""

    PAGES = HERE
    BUTTONS = (("back", "Back"), ("again", "Look again"), ("next", "Next"))
    SCOPES = ("release",)
    HELP = (
        "A release of the agents image in short pages. Everything is looked at before anything is changed; esc goes "
        "back a page at any time."
    )
    BINDINGS = bindings("release")
    AUTO_FOCUS = ""

    class Told(Message):
        """The answer to what was asked `about` something, or why there is none. `question` tells it from an older one
        about the same, whose answer is dropped."""

        def __init__(self, about: str, question: object, answer: Any) -> None:
            super().__init__()
            self.about, self.question, self.answer = about, question, answer

    def __init__(self, *, source: ReleaseSource | None = None) -> None:
        super().__init__()
        self.source = source or ReleaseSource()
        self.page = VERSION
        self.checkout: Tree | None = None
        self.published: Published | None = None
        self.push = Push()
        self.force = self.protect = False
        self._questions: dict[str, object] = {}
        self._looked_at = self._filled = self._filed = ""
        self._chosen = self._go_on = False
        self._asked_push: Push | None = None
        self._ready: tuple[Plan, Mapping[str, str]] | None = None
        self._cure = ""

    # -- frame ---------------------------------------------------------------------------------------------------

    def headline(self) -> str:
        """What it is about."""
        return f"disinto · release · {self.disinto.project}"

    def make_pages(self) -> Iterable[Widget]:
        """Those of both ways."""
        yield WhichPage()
        yield WherePage()
        yield CredentialsPage()
        yield ChecksPage()

    def on_mount(self) -> None:
        """The first page, and what its fields begin with."""
        self._go(VERSION)
        self._ask("beginning", self.source.beginning(self.disinto.instance))

    @property
    def which(self) -> WhichPage:
        """The page of the version."""
        return self.query_one(WhichPage)

    @property
    def approval(self) -> bool:
        """Whether it is to be approved by somebody else."""
        return self.query_one(WherePage).way == "approval"

    @property
    def pages(self) -> tuple[str, ...]:
        """The pages of the way that was chosen."""
        return APPROVAL if self.approval else HERE

    def _go(self, name: str) -> None:
        self.page = name
        shown = self.turn_to(name)
        self._label()
        shown.begin()

    def _label(self) -> None:
        """The buttons' words and the line of facts, as things stand."""
        forward = "Next" if self.page != CHECKS else _CURE_WORDS.get(self._cure, "Review")
        buttons = {name: self.query_one(f"#{name}", Choice) for name in ("back", "again", "next")}
        buttons["back"].say("Cancel" if self.page == VERSION else "Back")
        buttons["next"].say(forward)
        buttons["again"].display = self.page in (CREDENTIALS, CHECKS)
        buttons["next"].display = self._may_go_on
        self.query_one(ChecksPage).found.leads_on = self._may_go_on
        self.query_one(PageLine).show(self.pages.index(self.page), self._facts(), self.pages)
        self.refresh_bindings()

    def _facts(self) -> Line:
        if self.page == VERSION:
            return release_facts.newest(self.published, "published" in self._questions)
        images = self.push.images or (self.published.images if self.published is not None else "")
        said = release_facts.what(self.which.value("version"), images)
        if self.page != CHECKS or CHECKS in self._questions:
            return said
        return (*said, *release_facts.judged(self.query_one("#findings", FindingList).findings))

    def key_label(self, action_id: str) -> str:
        """The keys in this page's words."""
        if action_id == "release.back" and self.page == VERSION:
            return "cancel"
        if action_id in ("list.open", "proposals.take", "release.next"):
            return "review" if self.page == CHECKS and self._ready else "next"
        return ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There has to be something to go on to, or to look at."""
        if action == "next":
            return self._may_go_on
        return self.page != WHERE if action == "again" else True

    @property
    def _may_go_on(self) -> bool:
        return self.page != CHECKS or self._ready is not None or bool(self._cure)

    # -- asking --------------------------------------------------------------------------------------------------

    def _ask(self, about: str, answer: Awaitable[Any]) -> None:
        """Ask in a worker; an older question about the same is not waited for any more."""
        question = self._questions[about] = object()

        async def work() -> None:
            try:
                found: Any = await answer
            except Exception as error:
                found = in_words(error)
            self.post_message(self.Told(about, question, found))

        self.run_worker(work(), group=about, exclusive=True, exit_on_error=False)

    def on_release_screen_told(self, message: ReleaseScreen.Told) -> None:
        """Take an answer over, if it is still one."""
        if self._questions.get(message.about) is not message.question:
            return
        del self._questions[message.about]
        handlers: dict[str, Callable[[Any], None]] = {
            "beginning": self._told_beginning,
            "tree": self._told_tree,
            "published": self._told_published,
            CREDENTIALS: self._told_credentials,
            CHECKS: self._told_checks,
        }
        handlers[message.about](message.answer)
        self._label()

    # -- which version -------------------------------------------------------------------------------------------

    def _told_beginning(self, found: Beginning | DisintoError) -> None:
        if isinstance(found, DisintoError):
            self.which.verdict(found)
            return
        for name, value in (
            ("checkout", found.checkout),
            ("images", found.images),
            ("user", found.user),
            ("secret", found.secret),
        ):
            line = self.query_one(f"#{name}", Input)
            line.value = line.value or value
        self.push = Push(found.images, found.user, found.secret)
        self._look()

    def _look(self) -> None:
        """At the checkout, and then at what is published since it."""
        self._looked_at = self.which.checkout
        self.checkout = None
        if self._looked_at:
            self._ask("tree", self.source.tree(Path(self._looked_at)))
        else:
            self._ask_published()
        self._label()

    def _told_tree(self, found: Tree | DisintoError) -> None:
        self.checkout = None if isinstance(found, DisintoError) else found
        self.which.verdict(found if isinstance(found, DisintoError) else None)
        self._show_offer()
        self._ask_published()
        if self._go_on and self.checkout is not None:
            self._next_from_version()
        self._go_on = False

    def _ask_published(self) -> None:
        self._ask("published", self.source.published(self.disinto.instance, self.checkout, self.push))

    def _told_published(self, found: Published | DisintoError) -> None:
        if isinstance(found, DisintoError):
            self.which.verdict(found)
        else:
            self.published = found
            self._show_offer()
        self._focus_version()

    def _show_offer(self) -> None:
        """What may come next, as far as it is known what was before."""
        from disinto_tui.runs.release_offer import offer

        tree, published = self.checkout, self.published
        known = published is not None and published.trouble is None
        found: Offer | None = None
        if known or (tree is not None and tree.tag):
            found = offer(tree, published if known else None)
        likely = str(found.likely.version) if found is not None else ""
        if found is None and tree is not None and tree.told:
            likely = f"v{tree.told}"
        if likely and not self._chosen:
            self._fill(likely)
        self.which.show(tree, found)
        if found is not None:
            self._focus_version()

    def _focus_version(self) -> None:
        """Once there is something to choose, or nothing will come; an operator who is somewhere already stays there."""
        if self.page == VERSION and self.focused is None:
            self.which.begin()

    def _fill(self, version: str) -> None:
        self._filled = version
        self.query_one("#version", Input).value = version

    def on_input_changed(self, event: Input.Changed) -> None:
        """A version that was typed stays, whatever else is proposed later."""
        if event.input.id == "version":
            self._chosen = self._chosen or event.value != self._filled
            self._label()

    def on_proposals_moved(self, message: Proposals.Moved) -> None:
        """The one under the cursor is the one that is meant."""
        self._chosen = True
        self._fill(message.version)

    def on_ways_moved(self, message: Ways.Moved) -> None:
        """Another way has other pages, and other fields."""
        self.query_one(WherePage).show_fields()
        self._label()

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        """Enter on a list goes on."""
        self.action_next()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in a field: a checkout is looked at, and other credentials are; else it goes on."""
        if event.input.id == "checkout" and self.which.checkout != self._looked_at:
            self._look()
        else:
            self.action_next()

    # -- from page to page ---------------------------------------------------------------------------------------

    def action_back(self) -> None:
        """A page back; from the first one, out."""
        self._go_on = False
        if self.page == VERSION:
            self.dismiss()
            return
        if self.page == CHECKS:
            self._questions.pop(CHECKS, None)
            self.workers.cancel_group(self, CHECKS)
            self.force = self.protect = False
        self._go(self.pages[self.pages.index(self.page) - 1])

    def action_next(self) -> None:
        """A page on, when this one is complete."""
        {
            VERSION: self._next_from_version,
            WHERE: self._next_from_where,
            CREDENTIALS: self._next_from_credentials,
            CHECKS: self._next_from_checks,
        }[self.page]()

    def action_again(self) -> None:
        """Look at everything on this page again."""
        if self.page == CREDENTIALS:
            self._ask_credentials()
        elif self.page == CHECKS:
            self._check()
        else:
            self._look()

    def _next_from_version(self) -> None:
        if not self.which.complete():
            return
        if self.which.checkout != self._looked_at:
            self._go_on = True
            self._look()
        elif self.page == VERSION:
            self._go(WHERE)

    def _next_from_where(self) -> None:
        if not self.query_one(WherePage).complete():
            return
        if self.approval:
            self._go(CHECKS)
            self._check()
            return
        if self.checkout is None and "tree" not in self._questions:
            self._go(VERSION)
            self.which.need_checkout()
            return
        self._go(CREDENTIALS)
        if self._asked_push is None:
            self._ask_credentials()

    # -- credentials ---------------------------------------------------------------------------------------------

    def _push(self) -> Push:
        """What the fields say. Raises as `CredentialsPage.push`."""
        typed = self.query_one(CredentialsPage).push()
        return replace(typed, repository=self.query_one(WherePage).value("repository"))

    def _ask_credentials(self) -> None:
        page = self.query_one(CredentialsPage)
        try:
            push = self._push()
        except BadInput as error:
            page.verdict(error)
            return
        page.verdict(None)
        self.push = self._asked_push = push
        page.found.wait_for("Asking the registry, GitHub, the mirrors and the forge what each may do …")
        self._ask(CREDENTIALS, self.source.credentials(self.disinto.instance, push))
        self._label()

    def _told_credentials(self, found: tuple[FoundCredential, ...] | DisintoError) -> None:
        page = self.query_one(CredentialsPage)
        if isinstance(found, DisintoError):
            page.verdict(found)
            page.found.show(())
        else:
            page.found.show(release_facts.findings_of(found))

    def _next_from_credentials(self) -> None:
        page = self.query_one(CredentialsPage)
        try:
            changed = self._push() != self._asked_push
        except BadInput as error:
            page.verdict(error)
            return
        if changed:
            self._ask_credentials()  # what was typed is judged before anything is done with it
            page.found.focus()
            return
        self._go(CHECKS)
        self._check()

    # -- checks --------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        self._ready, self._cure = None, ""
        page = self.query_one(ChecksPage)
        page.verdict(None)
        version = self.which.value("version")
        instance = self.disinto.instance
        if self.approval:
            from disinto_tui.runs.request import RequestWanted

            page.found.wait_for(
                "Asking the forge about the ops repository, its rules and who judges a request …"
            )
            where = self.query_one(WherePage)
            wanted = RequestWanted(
                instance,
                version,
                self.push.name,
                where.value("generation"),
                self.protect,
                where.value("request-id"),
            )
            self._ask(CHECKS, self.source.plan_request(wanted))
        else:
            from disinto_tui.runs.release import ReleaseRequest

            page.found.wait_for(
                "Looking at the checkout, the forge, the engine, the registry and the credentials …"
            )
            request = ReleaseRequest(
                instance,
                version,
                Path(self.which.checkout),
                self.push.images,
                self.push.repository,
                self.push.user,
                self.push.name,
                {name: value.reveal() for name, value in self.push.given.items()},
                self.force,
                self.query_one(WherePage).way == "here",
            )
            self._ask(CHECKS, self.source.plan(request))
        page.begin()
        self._label()

    def _told_checks(self, found: PreparedRelease | PreparedRequest | DisintoError) -> None:
        from disinto_tui.runs.release_checks import NotReady

        page = self.query_one(ChecksPage)
        if isinstance(found, NotReady):
            page.found.show(found.findings)
            self._cure = self._curable(found.findings)
        elif isinstance(found, DisintoError):
            page.found.show(())
            page.verdict(found)
            if found.code == "run.unfinished":
                self.disinto.show_error(found)
        else:
            page.found.show(release_facts.found_of(found))
            self._ready = found.plan, found.secrets
            if not found.plan.changes:
                self._ready = None
                page.say("There is nothing left to do for it here.")
            self._label()
            if self._ready is not None and self.page == CHECKS:
                self.query_one("#next", Choice).focus()

    def _curable(self, findings: Iterable[Finding]) -> str:
        names = {item.name for item in findings if item.severity == "problem"}
        cure = _CURES.get(next(iter(names)), "") if len(names) == 1 else ""
        tried = {"force": self.force, "protect": self.protect}
        return "" if tried.get(cure) else cure

    def _next_from_checks(self) -> None:
        if self._cure:
            self.force, self.protect = self.force or self._cure == "force", self._cure == "protect"
            self._check()
        elif self._ready is not None:
            plan, secrets = self._ready
            yes = "File it" if self.approval else "Release it"
            self.disinto.review(plan, lambda said: self._answered(said, plan, secrets), yes=yes)

    def _answered(self, yes: bool, plan: Plan, secrets: Mapping[str, str]) -> None:
        if yes:
            # The review is still on top while it answers; the run's screen goes over this one.
            self.call_later(self._begin, plan, secrets)

    def _begin(self, plan: Plan, secrets: Mapping[str, str]) -> None:
        self.begun = self.disinto.start(plan, secrets=secrets, typed=self.push.given)
        self._filed = str(plan.facts.get("id", "")) if self.begun and self.approval else ""

    def close(self) -> None:
        """Leave; where a request was filed, over where that stands now."""
        if self._filed:
            name, self._filed = self._filed, ""
            self.disinto.open_request(name)
        else:
            super().close()
