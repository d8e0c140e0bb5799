"""The versions there are, everything about the one under the cursor, and the way to another one.

Shown at once from memory, then from the registry and the engine. What each image is, is asked for the lines on the
screen and no others. Workers only post messages; the handlers here own what is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from textual import events, work
from textual.containers import Horizontal
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from disinto_tui.core.catalog import Catalog, Meta
from disinto_tui.core.catalog_text import fresh_text
from disinto_tui.core.errors import DisintoError, ExitCode
from disinto_tui.core.text import neutralise
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.screens.base import in_words
from disinto_tui.tui.screens.filtering import FilteringScreen
from disinto_tui.tui.screens.version_loads import Loads
from disinto_tui.tui.screens.version_source import Source, SourceOf, load, load_network, version_source
from disinto_tui.tui.widgets.filter_line import FilterLine
from disinto_tui.tui.widgets.frame import Rule
from disinto_tui.tui.widgets.home_lines import Line
from disinto_tui.tui.widgets.version_details import Subject, VersionDetails
from disinto_tui.tui.widgets.version_list import VersionList
from disinto_tui.tui.widgets.version_text import foot_text, why_empty

SETTLE_SECONDS = 0.06
"""Lines are asked about when they stayed on the screen for so long: who scrolls through does not read them."""
MEMORY_SECONDS = 0.7
"""The first frame waits at most so long for what is remembered."""
AGE_SECONDS = 60
"""Ages are brought up to date this often, and painted only where one reads differently."""
WIDE = 100


class VersionsScreen(FilteringScreen):
    """Versions. `source` tells of them, `clock` the time (unix seconds); `agents` are the services that a switch
    recreates and `building` says that this factory is built from source, as far as the caller knows."""

    DEFAULT_CSS = """
    VersionsScreen #middle { height: 1fr; }
    VersionsScreen #about { display: none; width: 1fr; }
    VersionsScreen.-wide #about { display: block; }
    VersionsScreen.-narrow.-reading #list { display: none; }
    VersionsScreen.-narrow.-reading #about { display: block; border-left: none; }
    VersionsScreen #say { height: auto; max-height: 5; padding: 0 1; color: $warn; display: none; }
    VersionsScreen #say.-shown { display: block; }
    """
    SCOPES = ("versions",)
    FILTER_ACTION = "versions.filter"
    HELP = (
        "The versions in the registry, on this host and in this factory's history. Enter switches to the selected "
        "one: a plan is shown first."
    )
    BINDINGS = bindings("versions")
    AUTO_FOCUS = "#list"

    class Recalled(Message):
        """The list as last heard; None when it never was."""

        def __init__(self, source: Source, catalog: Catalog | None) -> None:
            super().__init__()
            self.source, self.catalog = source, catalog

    class Listed(Message):
        """What the registry and the engine said just now."""

        def __init__(self, catalog: Catalog) -> None:
            super().__init__()
            self.catalog = catalog

    class Unlisted(Message):
        """There is no list."""

        def __init__(self, error: DisintoError) -> None:
            super().__init__()
            self.error = error

    class Arrived(Message):
        """It is known what some versions are; `ended` when that load tells no more."""

        def __init__(self, number: int, batch: Mapping[str, Meta], ended: bool = False) -> None:
            super().__init__()
            self.number, self.batch, self.ended = number, batch, ended

    def __init__(
        self,
        *,
        source: SourceOf | None = None,
        clock: Callable[[], float] = time.time,
        agents: Sequence[str] = (),
        building: bool = False,
    ) -> None:
        super().__init__()
        self._make_source = source or version_source
        self._own_source = source is None
        self._source: Source | None = None
        self._clock = clock
        self._agents, self._building = agents, building
        self.catalog: Catalog | None = None
        self.others = False
        self._error: DisintoError | None = None
        self._asking = True
        self._metas: dict[str, Meta] = {}
        self._loads = Loads()
        self._looked: Sequence[str] = ()
        self._settling: Timer | None = None
        self._touched = False
        self._begun = False
        self._said = ""
        self._keys: tuple[object, ...] = ()

    # -- frame -----------------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        """The list, and beside it, or in its place, what there is to know of one version."""
        with Horizontal(id="middle"):
            rows = VersionList(self._meta_of, id="list")
            if self.app.size.width >= WIDE:
                # As it will be once the size is told: else the first frame is laid out twice.
                self.add_class("-wide")
                rows.styles.width = self._list_width(self.app.size.width)
            yield rows
            yield VersionDetails(id="about")
        yield Rule(id="low-rule")
        yield Static(id="say", markup=False)

    def headline(self) -> str:
        """Of what, and which of them."""
        if self.catalog is None:
            return f"Versions · {self.disinto.project}"
        rest = (f" · /{self.words}" if self.words else "") + (" · other tags too" if self.others else "")
        name = self.catalog.repository
        room = self.app.size.width - len(f" Versions of {rest}    {self.aside()} ")
        if len(name) > max(room, 12):
            name = "…" + name[-max(room - 1, 11) :]  # its end says more, and the age more than its beginning
        return f"Versions of {name}{rest}"

    def aside(self) -> str:
        """How fresh the list is."""
        if self._asking:
            return "asking the registry …"
        return fresh_text(self.catalog, self._clock()) if self.catalog is not None else ""

    def key_label(self, action_id: str) -> str:
        """Enter shows the details first where there is no room for them; undo says where to."""
        if action_id == "versions.switch" and self._details_first:
            return "details"
        if action_id == "versions.undo" and self.catalog is not None:
            return f"undo to {self.catalog.undo}"
        if action_id == "versions.others" and self.others:
            return "versions only"
        if action_id == "versions.back" and self.words and not self._reading:
            return "clear filter"
        return ""

    @staticmethod
    def _list_width(width: int) -> int:
        """What the list gets of a wide terminal: what its columns need, and not much more."""
        return max(50, min(64, round(width * 0.46)))

    @property
    def _reading(self) -> bool:
        return self.has_class("-reading") and self.size.width < WIDE

    @property
    def _details_first(self) -> bool:
        return self.size.width < WIDE and not self.has_class("-reading")

    async def on_mount(self) -> None:
        """Begin to look. What is remembered is read in no time, so the first frame waits for it: no other would be
        painted only to be painted over. A disk that takes its time is not waited for."""
        recalling = asyncio.create_task(self._recall())
        await asyncio.wait({recalling}, timeout=MEMORY_SECONDS)
        if recalling.done():
            self.on_versions_screen_recalled(self.Recalled(*recalling.result()))
        else:
            self._show()
            self._recall_late(recalling)
        self.set_interval(AGE_SECONDS, self._tick)

    def on_resize(self, event: events.Resize) -> None:
        """The rules meet the line between list and details, where there is one."""
        wide = event.size.width >= WIDE
        column = self._list_width(event.size.width)
        self._list.styles.width = column if wide else "1fr"
        self.query_one("#top").say(left=self.headline())  # type: ignore[attr-defined]
        for name, mark in (("#top-rule", "┬"), ("#low-rule", "┴")):
            self.query_one(name, Rule).set_joint(column if wide else -1, mark)
        if wide and self.has_class("-reading"):
            self.remove_class("-reading")
            self._list.focus()
        self.refresh_bindings()

    def on_screen_resume(self) -> None:
        """Back from a run that was begun here: the world is another one."""
        if self._begun:
            self._begun = False
            self._touched = False
            self._asking = True
            self._ask_again()

    async def on_unmount(self) -> None:
        """No more questions."""
        if self._source is not None:
            await self._source.close()

    # -- workers: they only post -----------------------------------------------------------------------------

    async def _recall(self) -> tuple[Source, Catalog | None]:
        """The source, and the list from its memory."""
        if self._own_source and "disinto_tui.runs.catalog" not in sys.modules:
            # In a thread: the event loop stays free for keys while the code is loaded.
            await asyncio.to_thread(load)
        source = self._make_source(self.disinto.instance)
        # What cannot be read now is said when the rest is asked.
        with contextlib.suppress(DisintoError, OSError):
            return source, await source.remembered()
        return source, None

    @work(group="list", exit_on_error=False)
    async def _recall_late(self, recalling: asyncio.Task[tuple[Source, Catalog | None]]) -> None:
        self.post_message(self.Recalled(*await recalling))

    @work(group="list", exclusive=True, exit_on_error=False)
    async def _ask(self, source: Source) -> None:
        if self._own_source:
            await asyncio.to_thread(load_network)
        try:
            self.post_message(self.Listed(await source.asked()))
        except Exception as error:
            self.post_message(self.Unlisted(in_words(error)))

    @work(group="metas", exit_on_error=False)
    async def _load(self, number: int, source: Source, tags: Sequence[str], offline: bool) -> None:
        batches = source.details(tags, offline=offline)
        told: Mapping[str, Meta] = {}
        try:
            async for batch in batches:
                self.post_message(self.Arrived(number, batch))
        except Exception as error:
            trouble = in_words(error)
            reason = f"{trouble.what} {trouble.why}"
            told = {tag: self._metas.get(tag) or Meta(error=reason) for tag in tags}
        finally:
            close = getattr(batches, "aclose", None)
            if close is not None:
                await close()
        self.post_message(self.Arrived(number, told, ended=True))

    # -- handlers: they own the state ------------------------------------------------------------------------

    def on_versions_screen_recalled(self, message: VersionsScreen.Recalled) -> None:
        """Show it, and only when it can be seen ask anew: the network's code and its answers hold up a paint."""
        self._source = message.source
        if message.catalog is not None:
            self._take(message.catalog)
        else:
            self._show()
        self.call_after_refresh(self._ask_again)

    def on_versions_screen_listed(self, message: VersionsScreen.Listed) -> None:
        """Take it over; what the versions are is asked anew as well."""
        self._asking = False
        self._loads.forget()
        self._take(message.catalog)

    def _take(self, catalog: Catalog) -> None:
        """The cursor stays where the operator put it, else it goes to what runs."""
        first = self.catalog is None
        self.catalog, self._error = catalog, None
        home = self._home_tag(catalog)
        if first and home in catalog.tags[catalog.versions :]:
            self.others = True  # what runs here is no version: it is shown all the same
        self._show(self._list.tag if self._touched else home)

    def _ask_again(self) -> None:
        if self._source is not None:
            self._ask(self._source)

    def on_versions_screen_unlisted(self, message: VersionsScreen.Unlisted) -> None:
        """Say in place why there is no list."""
        self._asking, self._error = False, message.error
        self._show(self._list.tag)

    def on_versions_screen_arrived(self, message: VersionsScreen.Arrived) -> None:
        """Keep what came, and paint the lines that say something else now."""
        self._metas.update(message.batch)
        self._loads.came(message.number, message.batch, ended=message.ended)
        self._list.learnt(message.batch)
        running = self.catalog.running if self.catalog is not None else ""
        if self._list.tag in message.batch or running in message.batch:
            self._show_details()

    def on_version_list_moved(self, message: VersionList.Moved) -> None:
        """The details follow the cursor."""
        self._touched = self._touched or message.by_hand
        self._show_details()

    def on_version_list_opened(self, message: VersionList.Opened) -> None:
        """A double click is Enter."""
        self.action_switch()

    def on_version_list_looked(self, message: VersionList.Looked) -> None:
        """Other lines are visible: ask about them, once they stay."""
        self._looked = message.tags
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLE_SECONDS, self._load_visible)

    def _load_visible(self) -> None:
        """Ask about the visible lines nobody was asked about, the cursor's first."""
        self._settling = None
        if self._source is None or self.catalog is None or self._asking:
            return
        # What runs is what the others are compared with.
        wanted = [tag for tag in (self._list.tag, self.catalog.running) if tag]
        wanted = list(dict.fromkeys([*wanted, *self._looked]))
        missing = self._loads.missing(wanted)
        if missing:
            error = self.catalog.error
            offline = error is not None and error.exit_code == ExitCode.UNAVAILABLE
            worker = self._load(self._loads.number(), self._source, missing, offline)
            self._loads.began(worker, missing)

    # -- showing ---------------------------------------------------------------------------------------------

    def _meta_of(self, tag: str) -> Meta | None:
        found = self._metas.get(tag)
        if found is None and self._source is not None:
            found = self._source.known(tag)
            if found is not None:
                self._metas[tag] = found
        return found

    @staticmethod
    def _home_tag(catalog: Catalog) -> str:
        """Where the cursor begins: at what runs, else at what is pinned."""
        marked = (tag for tag, marks in catalog.marks.items() if marks.running or marks.pinned)
        return catalog.running or next(marked, "")

    def _show(self, cursor: str = "") -> None:
        catalog, now = self.catalog, self._clock()
        tags = catalog.filtered(self.words, others=self.others) if catalog is not None else []
        words = [word for word in self.words.lower().split() if not word.startswith(":")]
        self._list.show(catalog, tags, cursor, now, words=words, why=self._why_empty(), foot=self._foot)
        self._show_details()
        self._say()
        top = self.query_one("#top")
        top.say(left=self.headline(), right=self.aside())  # type: ignore[attr-defined]
        undo, hidden = (catalog.undo, catalog.hidden) if catalog is not None else ("", 0)
        keys = (bool(tags), bool(self.words), self.others, undo, hidden > 0)
        if keys != self._keys:
            self._keys = keys  # what check_action and key_label answer by
            self.refresh_bindings()

    def _show_details(self) -> None:
        catalog, tag = self.catalog, self._list.tag
        about = self.query_one(VersionDetails)
        if catalog is None or not tag or self._source is None:
            about.show(None, 0.0)
            return
        running = self._meta_of(catalog.running) if catalog.running else None
        row = catalog.row(tag, self._meta_of(tag))
        about.show(Subject(row, catalog, self._source.entries(tag), running, self._agents), self._clock())

    def _say(self) -> None:
        """What is wrong, once, below the list."""
        error = self._error or (self.catalog.error if self.catalog is not None else None)
        text = ""
        if error is not None and self._list.tags:
            text = f"▲ {error.what} {error.why} {error.now}"
        elif self.catalog is not None and self.catalog.engine_error:
            text = f"▲ {self.catalog.engine_error} What is local and what runs is shown as it was last seen."
        elif self._building:
            text = (
                "▲ This factory is in build mode: its agents are built from a checkout, and there is no pin to "
                "change. `disinto adopt --version VERSION` takes it over to one of these."
            )
        if text != self._said:
            self._said = text
            line = self.query_one("#say", Static)
            line.update(neutralise(text))
            line.set_class(bool(text), "-shown")

    def _tick(self) -> None:
        """Ages, as time goes by."""
        self._list.tick(self._clock())
        self._show_details()
        self.query_one("#top").say(right=self.aside())  # type: ignore[attr-defined]

    def _foot(self, below: int) -> str:
        return foot_text(self.catalog, self.words, len(self._list.tags), below, others=self.others)

    def _why_empty(self) -> list[Line]:
        wide = self.size.width >= WIDE
        width = self._list_width(self.size.width) - 2 if wide else min(self.size.width, 76)
        error = self._error or (self.catalog.error if self.catalog is not None else None)
        unseen = not self.others
        return why_empty(self.catalog, self.words, error, width, asking=self._asking, unseen=unseen)

    # -- actions ---------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Undo needs somewhere to go, the rest a version."""
        if action == "undo":
            return self.catalog is not None and bool(self.catalog.undo)
        if action in ("switch", "copy"):
            return bool(self.is_mounted and self.query(VersionList) and self._list.tag)
        if action == "others":
            return self.catalog is not None and self.catalog.hidden > 0 and not self._reading
        if action == "filter":
            typing = isinstance(self.focused, FilterLine)
            return self.catalog is not None and bool(self.catalog.tags) and not (typing or self._reading)
        return True

    def action_switch(self) -> None:
        """Plan, review, switch; first the details where they are not beside the list."""
        tag, source = self._list.tag, self._source
        if not tag or source is None:
            return
        if self._details_first:
            self.add_class("-reading")
            self.query_one(VersionDetails).focus()
            self.refresh_bindings()
            return
        from disinto_tui.tui.screens.switching import switch, wanted_title

        switch(self, wanted_title(tag), lambda idle: source.plan(tag, when_idle=idle), begun=self._run_begun)

    def action_undo(self) -> None:
        """Plan the way back, review, go."""
        source = self._source
        if source is None or self.catalog is None or not self.catalog.undo:
            return
        from disinto_tui.tui.screens.switching import switch, undo_title

        title = undo_title(self.catalog.undo)
        switch(
            self,
            title,
            lambda idle: source.plan_undo(when_idle=idle),
            yes="Go back",
            begun=self._run_begun,
        )

    def _run_begun(self) -> None:
        self._begun = True

    def action_others(self) -> None:
        """Other tags, or versions only."""
        self.others = not self.others
        self._show(self._list.tag)

    def action_copy(self) -> None:
        """Repository, tag and digest."""
        if self.catalog is None or not self._list.tag:
            return
        meta = self._meta_of(self._list.tag)
        reference = neutralise(f"{self.catalog.repository}:{self._list.tag}")
        if meta is not None and meta.digest:
            reference += f"@{meta.digest}"
            said = f"Copied {reference}"
        else:
            said = f"Copied {reference}: which digest it means is not known yet"
        self.app.copy_to_clipboard(reference)
        self.notify(said, timeout=4, markup=False)

    def action_refresh(self) -> None:
        """Ask again."""
        if self._source is not None:
            self._asking = True
            self._show(self._list.tag)
            self._ask_again()

    def action_back(self) -> None:
        """Out of the details, then out of the filter, then out."""
        if self._reading:
            self.remove_class("-reading")
            self._list.focus()
            self.refresh_bindings()
        elif self.words:
            self._clear_filter()
        else:
            self.dismiss()
