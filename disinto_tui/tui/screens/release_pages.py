"""The pages of a release's wizard. They hold fields and show what was found; what it means is `ReleaseScreen`'s."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Input

from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.core.redact import Secret
from disinto_tui.core.version import Proposal, Version
from disinto_tui.core.words import age_text
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.screens.release_source import Push
from disinto_tui.tui.screens.wizard import Page, Verdict, field
from disinto_tui.tui.widgets.finding_list import FindingList
from disinto_tui.tui.widgets.home_lines import Line, LineList, wrapped

if TYPE_CHECKING:
    from disinto_tui.runs.release_offer import Offer, Tree


class ReleasePage(Page):
    """A page whose fields stand close: there is a list below them."""

    DEFAULT_CSS = """
    ReleasePage .field { margin-bottom: 0; }
    ReleasePage Verdict { margin: 1 0 0 0; }
    ReleasePage .below { margin-top: 1; }
    ReleasePage { padding: 1 0; }
    """

    def value(self, name: str) -> str:
        """What is typed in a field, without white space around it."""
        return self.query_one(f"#{name}", Input).value.strip()

    def verdict(self, error: DisintoError | None) -> None:
        """Say why it cannot go on; None takes it away."""
        found = self.query_one(Verdict)
        if error is None:
            found.say("")
        else:
            found.say_error(error, details=2)


class Proposals(LineList):
    """The versions that may come next; the cursor's is what the field holds."""

    DEFAULT_CSS = "Proposals { height: 0; margin: 1 0; }"
    BINDINGS = bindings("proposals")
    HELP = "The versions that may come next. Enter takes one; any other can be typed into the field above."

    class Moved(Message):
        """The cursor is on a version."""

        def __init__(self, version: str) -> None:
            super().__init__()
            self.version = version

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.versions: Sequence[Proposal] = ()

    def show(self, versions: Sequence[Proposal], on: str) -> None:
        """Show these, the cursor on that one when it is among them."""
        self.versions = versions
        texts = [str(item.version) for item in versions]
        self.cursor = texts.index(on) if on in texts else 0
        self.styles.height = len(versions)
        self.rebuild()

    def move_to(self, index: int) -> None:
        """Put the cursor on a version: it is the chosen one."""
        super().move_to(index)
        if self.versions:
            self.post_message(self.Moved(str(self.versions[self.cursor].version)))

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """A line each."""
        lines: list[Line] = []
        for item in self.versions:
            words = [" and ".join(item.kinds)] if item.kinds else []
            words += ["as VERSION says"] if item.told else []
            tone = "strong" if item.told else "plain"
            lines.append((("   ", "plain"), (f"{item.version!s:<16}", tone), (" · ".join(words), "dim")))
        return lines, list(range(len(lines)))

    def action_take(self) -> None:
        """Take it and go on."""
        self.action_open()


class Commits(LineList):
    """What would be in it."""

    DEFAULT_CSS = "Commits { height: 1fr; }"
    HELP = "The commits that are in no release yet, newest first."
    FIXED = 1

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tree: Tree | None = None
        self._offer: Offer | None = None
        self._now = 0.0

    def show(self, tree: Tree | None, offer: Offer | None, now: float) -> None:
        """Show the commits of an offer, and which tree they are in."""
        self._tree, self._offer, self._now = tree, offer, now
        self.rebuild()

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """A heading, and a line each."""
        tree, found = self._tree, self._offer
        if tree is None or found is None:
            return [()], [-1]
        since = f"since {found.newest}" if found.newest else "in all"
        count = len(found.commits)
        said = f"{count or 'no'} {'commit' if count == 1 else 'commits'} {since}"
        where = f"{tree.branch or 'no branch'} at {tree.head[:9]}"
        lines: list[Line] = [((f"   {said}", "strong" if count else "warn"), (f" · {where}", "dim"))]
        for commit in found.commits:
            age = age_text(self._now - commit.at)
            lines.append(
                (
                    (f"   {commit.sha[:9]} ", "dim"),
                    (f"{age:>6}  ", "dim"),
                    (commit.subject, "plain"),
                    (f"  {commit.author}", "dim"),
                )
            )
        return lines, [-1, *range(count)]


class WhichPage(ReleasePage):
    """Which version, from which checkout."""

    def __init__(self) -> None:
        super().__init__(id="page-version")

    def compose(self) -> ComposeResult:
        """Two fields, the versions to choose from, the commits."""
        yield field("checkout", "checkout", hint="the git checkout to release from")
        yield field("version", "version", hint="like v0.4.0 or v0.5.0-rc.1")
        yield Verdict(id="version-verdict")
        yield Proposals(id="proposals")
        yield Commits(id="commits")

    def begin(self) -> None:
        """The list; until it is there nothing, so that what is typed ahead goes nowhere."""
        if self.query_one(Proposals).versions:
            self.query_one(Proposals).focus()
        elif self.value("checkout") or self.value("version"):
            self.query_one("#version").focus()

    def need_checkout(self) -> None:
        """Without one nothing can be released from here."""
        if not self.query_one(Verdict).said:
            self.verdict(
                BadInput(
                    "There is no checkout to release from.",
                    "This host builds the image from a commit of it.",
                    "Name its directory above, or have the release approved and executed elsewhere.",
                    code="git.none",
                )
            )
        self.query_one("#checkout").focus()

    @property
    def checkout(self) -> str:
        """The directory, absolute; "" when none is named."""
        typed = self.value("checkout")
        return str(Path(typed).expanduser().absolute()) if typed else ""

    def complete(self) -> bool:
        """Whether it can be gone on; when not, it says why."""
        try:
            Version.parse(self.value("version"))
        except BadInput as error:
            self.verdict(error)
            self.query_one("#version").focus()
            return False
        return True

    def show(self, tree: Tree | None, offer: Offer | None) -> None:
        """Show what is known by now."""
        self.query_one(Proposals).show(offer.versions if offer is not None else (), self.value("version"))
        self.query_one(Commits).show(tree, offer, time.time())


_WAYS = (
    (
        "here",
        "here",
        "This host tags, builds and pushes, and then switches its factory to it. It needs the checkout, an engine and "
        "the push credential.",
    ),
    ("publish", "here, no switch", "The same, and this factory stays on its version."),
    (
        "approval",
        "for approval",
        "A request is filed in the ops repository. Nothing is tagged or built until somebody else approves it and the "
        "factory's executor takes it up.",
    ),
)


class Ways(LineList):
    """The ways to have it executed, each with what it means."""

    DEFAULT_CSS = "Ways { height: auto; max-height: 70%; min-height: 3; }"
    HELP = "Whether this host does it, or somebody else once it is approved. Enter goes on with the selected way."

    class Moved(Message):
        """Another way is selected."""

    def move_to(self, index: int) -> None:
        """Select a way."""
        super().move_to(index)
        self.post_message(self.Moved())

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """A name and what it means."""
        lines: list[Line] = []
        owners: list[int] = []
        for number, (_, name, text) in enumerate(_WAYS):
            first, *rest = wrapped(text, width - 2, " " * 21, "dim")
            mine: list[Line] = [((f"   {name:<18}", "strong"), *first[1:]), *rest]
            lines += [*mine, ()]
            owners += [*[number] * len(mine), -1]
        return lines, owners


class WherePage(ReleasePage):
    """Here, or for approval."""

    DEFAULT_CSS = "WherePage .label { width: 20; }"

    def __init__(self) -> None:
        super().__init__(id="page-where")

    def compose(self) -> ComposeResult:
        """The ways, and fields for what differs from the usual of the selected one."""
        yield Ways(id="ways")
        yield field("repository", "repository", hint="OWNER/NAME on the forge; the project's own")
        yield field("validator", "generation", hint="vault or action-vault; as the factory's code shows")
        yield field("id", "request-id", hint="the version without its dots, like release-v040")
        yield Verdict(id="where-verdict")

    def on_mount(self) -> None:
        """The first way's fields."""
        self.show_fields()

    def begin(self) -> None:
        """The list."""
        self.query_one(Ways).focus()

    def show_fields(self) -> None:
        """Those of the selected way: a request has an id and a validator, a release from here a repository."""
        self.verdict(None)
        for line in self.query(Input):
            of_request = line.id in ("generation", "request-id")
            assert line.parent is not None  # noqa: S101  # for the type alone: a field is a row
            line.parent.set_class(of_request != (self.way == "approval"), "-hidden")

    def complete(self) -> bool:
        """Whether it can be gone on; when not, it says why."""
        from disinto_tui.adapters.forge import repo_path
        from disinto_tui.runs.request import refuse_unusual

        try:
            if self.way == "approval":
                refuse_unusual(self.value("request-id"), self.value("generation"))
            elif self.value("repository"):
                repo_path(self.value("repository"))
        except BadInput as error:
            self.verdict(error)
            return False
        self.verdict(None)
        return True

    @property
    def way(self) -> str:
        """The selected one: "here", "publish" (and this factory stays as it is) or "approval"."""
        return _WAYS[self.query_one(Ways).cursor][0]


class CredentialsPage(ReleasePage):
    """Where to push, with what, and what that may do."""

    def __init__(self) -> None:
        super().__init__(id="page-credentials")

    def compose(self) -> ComposeResult:
        """Fields for what differs from the usual, and what was found."""
        yield field("push to", "images", hint="the factory's own repository")
        yield field("user", "user", hint="whose token it is; GHCR takes any name")
        yield field(
            "credential", "secret", hint="GITHUB_TOKEN: environment, keyring, secrets/GITHUB_TOKEN.enc"
        )
        yield field(
            "or a token", "token", hint="pasted, for this release alone; it is not shown", hidden=True
        )
        yield Verdict(id="credentials-verdict")
        yield FindingList(id="credentials", classes="below")

    def begin(self) -> None:
        """What was found: nothing may have to be typed at all."""
        self.found.focus()

    @property
    def found(self) -> FindingList:
        """What was found."""
        return self.query_one(FindingList)

    def push(self) -> Push:
        """What is typed. Raises BadInput for a name or a token that cannot be one."""
        from disinto_tui.adapters.credentials import checked_name, usable

        name, typed = self.value("secret"), self.value("token")
        if name:
            checked_name(name)
        token: Secret | None = usable("The token", typed, "as it was typed") if typed else None
        return Push(self.value("images"), self.value("user"), name, token)


class ChecksPage(ReleasePage):
    """Everything that must be so before it begins."""

    def __init__(self) -> None:
        super().__init__(id="page-checks")

    def compose(self) -> ComposeResult:
        """What was found, or why it could not be looked at."""
        yield Verdict(id="checks-verdict")
        yield FindingList(id="findings")

    def begin(self) -> None:
        """The findings."""
        self.found.focus()

    @property
    def found(self) -> FindingList:
        """What was found."""
        return self.query_one(FindingList)

    def say(self, text: str) -> None:
        """A friendlier line."""
        self.query_one(Verdict).say(text, "good")
