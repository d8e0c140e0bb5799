"""Home: what version runs, is it healthy, is there something to do.

The first paint shows the frame and asks nothing. Workers then look at the engine and, apart from it, at the
registry and the forge; they only post messages, and the handlers here own what is known.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import events, work
from textual.message import Message
from textual.widget import Widget

from disinto_tui.core.errors import DisintoError
from disinto_tui.core.view import Attention, InstanceView
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.screens.base import DisintoScreen, unreadable
from disinto_tui.tui.widgets.frame import Rule
from disinto_tui.tui.widgets.home_glance import Glance
from disinto_tui.tui.widgets.home_lines import LineList
from disinto_tui.tui.widgets.home_list import HomeList
from disinto_tui.tui.widgets.home_text import has_factory
from disinto_tui.tui.widgets.service_table import ServiceTable

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.plan import Plan
    from disinto_tui.runs.switch import Prepared

Views = Callable[["Instance"], AsyncIterator[InstanceView]]
"""Gives views of an instance as it changes (`runs.watch.live_views`)."""
Remote = Callable[["Instance", InstanceView], Awaitable[InstanceView]]
"""Fills in what crosses the network (`runs.remote.with_remote`)."""

AGE_SECONDS = 60
"""Ages are brought up to date this often, and painted only when one reads differently."""


def _live_views(instance: Instance) -> AsyncIterator[InstanceView]:
    from disinto_tui.runs.watch import live_views

    return live_views(instance)


async def _with_remote(instance: Instance, view: InstanceView) -> InstanceView:
    from disinto_tui.runs.remote import with_remote

    return await with_remote(instance, view)


# In threads: the event loop stays free for keys and painting while the engine's and the network's code is
# loaded; the network's (0.2 s) only once the services are on the screen.
def _load_local() -> None:
    import disinto_tui.runs.watch  # noqa: F401


def _load_remote() -> None:
    from disinto_tui.runs.remote import load

    load()


class HomeScreen(DisintoScreen[None]):
    """The first screen. `views` and `remote` tell what there is, `clock` the time (unix seconds)."""

    DEFAULT_CSS = "HomeScreen { overflow: hidden; }"
    SCOPES = ("home",)
    HELP = "The factory at a glance: what version runs, is it healthy, is there something to do."
    BINDINGS = bindings("home")

    class Seen(Message):
        """The instance was looked at."""

        def __init__(self, view: InstanceView) -> None:
            super().__init__()
            self.view = view

    class Unseen(Message):
        """The instance could not be looked at."""

        def __init__(self, error: DisintoError) -> None:
            super().__init__()
            self.error = error

    class RemoteSeen(Message):
        """Registry and forge were asked, beginning from the view `of`."""

        def __init__(self, of: InstanceView, view: InstanceView) -> None:
            super().__init__()
            self.of, self.view = of, view

    class Planned(Message):
        """Up or down was planned, or could not be."""

        def __init__(self, plan: Plan | None, error: DisintoError | None) -> None:
            super().__init__()
            self.plan, self.error = plan, error

    def __init__(
        self,
        *,
        views: Views | None = None,
        remote: Remote | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._views = views or _live_views
        self._remote = remote or _with_remote
        self._clock = clock
        self._own_source, self._own_remote = views is None, remote is None
        self.view: InstanceView | None = None
        self._remote_view: InstanceView | None = None
        self._remote_attention: tuple[Attention, ...] = ()
        self._attached: set[str] = set()

    def body(self) -> Iterable[Widget]:
        """Glance, services, and what needs the operator."""
        yield Glance(id="glance")
        yield Rule()
        yield ServiceTable(id="services")
        yield Rule()
        yield HomeList(id="notes")

    def on_mount(self) -> None:
        """Begin to look, once the first paint is out."""
        self.call_after_refresh(self._watch)
        self.set_interval(AGE_SECONDS, self._show)

    # -- workers: they only post -----------------------------------------------------------------------------

    @work(group="watch", exclusive=True, exit_on_error=False)
    async def _watch(self) -> None:
        if self._own_source:
            await asyncio.to_thread(_load_local)
        wait = 1.0
        while True:
            try:
                async for view in self._views(self.disinto.instance):
                    wait = 1.0
                    self.post_message(self.Seen(view))
            except DisintoError as error:
                self.post_message(self.Unseen(error))
            except OSError as error:
                self.post_message(self.Unseen(unreadable(error)))
            if not self._own_source:
                return
            await asyncio.sleep(wait)
            wait = min(2 * wait, 10)

    @work(group="remote", exclusive=True, exit_on_error=False)
    async def _ask_remote(self, view: InstanceView) -> None:
        if self._own_remote:
            await asyncio.to_thread(_load_remote)
        try:
            found = await self._remote(self.disinto.instance, view)
        except DisintoError as error:
            found = replace(view, newest_error=f"{error.what} {error.why}")
        self.post_message(self.RemoteSeen(view, found))

    # -- handlers: they own the state ------------------------------------------------------------------------

    def on_home_screen_seen(self, message: HomeScreen.Seen) -> None:
        """Take a view over."""
        first, before = self.view is None, self.view
        self.view = message.view
        if first or before is None or before.pinned != self.view.pinned:
            self._remote_view = None
            if has_factory(self.view):
                self._ask_remote(self.view)
        self.disinto.set_where(self.view.project, self.view.endpoint)
        self.query_one("#top").say(left=self.headline())  # type: ignore[attr-defined]
        self._show()
        if before is None or has_factory(before) != has_factory(self.view):
            self.refresh_bindings()
        if first:
            self._attach_to_live()

    def on_home_screen_unseen(self, message: HomeScreen.Unseen) -> None:
        """Say in place why there is nothing to see."""
        error = message.error
        view = self.view or InstanceView(str(self.disinto.instance.path), self.disinto.project, "", "none")
        text = f"{error.what} {error.why} {error.now}"
        self.view = replace(view, engine_error=text, services=(), running_versions=(), attention=())
        self._show()

    def on_home_screen_remote_seen(self, message: HomeScreen.RemoteSeen) -> None:
        """Take over what the registry and the forge said."""
        self._remote_view = message.view
        self._remote_attention = message.view.attention[len(message.of.attention) :]
        self._show()

    def _shown(self) -> InstanceView | None:
        """The view with what is known from the network laid over it."""
        if self.view is None or self._remote_view is None:
            return self.view
        far = self._remote_view
        return replace(
            self.view,
            newest=far.newest,
            newest_error=far.newest_error,
            forge=far.forge,
            attention=(*self.view.attention, *self._remote_attention),
        )

    def _show(self) -> None:
        view, now = self._shown(), self._clock()
        self.query_one(Glance).show(view, self._remote_view is not None, now)
        table, notes = self.query_one(ServiceTable), self.query_one(HomeList)
        table.show(view, now)
        notes.show(view, now)
        self._share_height()

    def on_resize(self, event: events.Resize) -> None:
        """Share the lines anew."""
        self._share_height()

    def _share_height(self) -> None:
        """Give the table what it needs, and the list the rest, but never less than a third."""
        table, notes = self.query_one(ServiceTable), self.query_one(HomeList)
        width, free = self.size.width, self.size.height - 7
        if width <= 0 or free <= 0:
            return
        wanted, below = table.lines_needed(width), notes.lines_needed(width)
        if wanted + below > free:
            wanted = max(min(wanted, 4), min(wanted, free - min(below, max(3, free // 3))))
        if table.styles.height is None or table.styles.height.value != wanted:
            table.styles.height = wanted

    def _attach_to_live(self) -> None:
        """A run that is under way when the tool starts is what the operator came for."""
        live = [run for run in (self.view.runs if self.view else ()) if run.status == "running"]
        if live and self.disinto.screen is self:
            self._open_run(live[0].id)

    # -- moving ----------------------------------------------------------------------------------------------

    def on_line_list_edge(self, message: LineList.Edge) -> None:
        """From the last service on to the list, and back."""
        table, notes = self.query_one(ServiceTable), self.query_one(HomeList)
        if message.widget is table and message.step > 0 and notes.items:
            notes.focus()
            notes.move_to(0)
        elif message.widget is notes and message.step < 0 and table.items:
            table.focus()
            table.move_to(table.items - 1)

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        """Open what was chosen."""
        if isinstance(message.widget, ServiceTable):
            service = message.widget.service
            if service is not None:
                self._open_logs(service.name)
            return
        notes = self.query_one(HomeList)
        entry = notes.entry_at(message.index)
        if entry.run is not None:
            self._open_run(entry.run.id)
        elif entry.attention is not None:
            self._help_with(entry.attention)

    def _help_with(self, item: Attention) -> None:
        command = item.command.split()
        if item.key == "enter":
            self._open_unfinished()
        elif command[:2] == ["disinto", "logs"] and len(command) == 3:
            self._open_logs(command[2])
        elif command[:2] == ["disinto", "use"] and len(command) == 3:
            self._switch(command[2])
        elif command[:2] == ["disinto", "rollback"]:
            self._switch(command[2], back=True) if len(command) == 3 else self.action_undo()
        elif command[:2] == ["disinto", "versions"]:
            self.action_versions()
        elif command[:2] == ["disinto", "requests"] and len(command) == 3:
            self.disinto.open_request(command[2])
        elif command == ["disinto", "adopt"]:
            self._adopt()
        elif command[:2] == ["disinto", "doctor"]:
            self.action_doctor()
        elif command == ["disinto", "up"]:
            self.action_up()
        elif command[:2] == ["disinto", "init"]:
            self.action_init()
        else:
            from disinto_tui.tui.screens.dialogs import Notice

            now = f"This helps: {item.command}" if item.command else "Esc goes back."
            self.app.push_screen(Notice("This needs you.", item.text, now))

    def _open_run(self, run_id: str) -> None:
        from disinto_tui.adapters.journal import RunDir

        self.disinto.open_run(RunDir(self.disinto.instance.runs / run_id))

    def _open_unfinished(self) -> None:
        from disinto_tui.adapters.journal import unfinished_run

        run = unfinished_run(self.disinto.instance)
        if run is not None:
            self.disinto.open_run(run)

    def _open_logs(self, service: str = "") -> None:
        from disinto_tui.runs.logs import follow_logs

        instance = self.disinto.instance
        self.disinto.open_logs(lambda after: follow_logs(instance, after=after), service)

    # -- actions ---------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Up, down and logs need a factory."""
        if action == "undo":
            return self.view is not None and bool(self.view.pinned)
        if action in ("up", "down", "logs", "versions", "release", "doctor"):
            return self.view is not None and has_factory(self.view)
        return True

    def action_init(self) -> None:
        """A new factory, or this one made anew from a changed config."""
        self.disinto.open_init()

    def action_versions(self) -> None:
        """The versions there are."""
        services = self.view.services if self.view is not None else ()
        self.disinto.open_versions(
            agents=[item.name for item in services if item.uses_agents_image],
            building=self.view is not None and self.view.mode == "build",
            clock=self._clock,
        )

    def action_doctor(self) -> None:
        """Whether everything is sound."""
        self.disinto.open_doctor()

    def action_release(self) -> None:
        """A release of the agents image."""
        self.disinto.open_release()

    def action_undo(self) -> None:
        """Plan the way back, review, go."""
        self._switch("", back=True)

    def _switch(self, version: str, *, back: bool = False) -> None:
        from disinto_tui.tui.screens.switching import switch, undo_title, wanted_title

        instance = self.disinto.instance

        async def plan(when_idle: float | None) -> Prepared:
            from disinto_tui.runs.rollback import plan_rollback
            from disinto_tui.runs.switch import SwitchRequest, plan_switch

            if back:
                return await plan_rollback(instance, version, when_idle=when_idle)
            return await plan_switch(SwitchRequest(instance, version, when_idle=when_idle))

        title = undo_title(version) if back else wanted_title(version)
        switch(self, title, plan, yes="Go back" if back else "Switch now")

    def _adopt(self) -> None:
        from disinto_tui.tui.screens.adopting import adopt

        adopt(self)

    def action_logs(self) -> None:
        """The logs of all services."""
        self._open_logs()

    def action_up(self) -> None:
        """Plan, review, start."""
        self._plan("up")

    def action_down(self) -> None:
        """Plan, review, stop."""
        self._plan("down")

    def action_refresh(self) -> None:
        """Ask everything again."""
        self._remote_view = None
        if self.view is not None:
            self._ask_remote(self.view)
            self._show()
        self._watch()

    @work(group="plan", exclusive=True, exit_on_error=False)
    async def _plan(self, kind: str) -> None:
        from disinto_tui.runs.lifecycle import plan_down, plan_up, shell_override

        instance = self.disinto.instance
        try:
            plan = await (
                plan_up(instance, one_off=shell_override()) if kind == "up" else plan_down(instance)
            )
        except DisintoError as error:
            self.post_message(self.Planned(None, error))
        except OSError as error:
            self.post_message(self.Planned(None, unreadable(error)))
        else:
            self.post_message(self.Planned(plan, None))

    def on_home_screen_planned(self, message: HomeScreen.Planned) -> None:
        """Show the plan, or why there is none."""
        if self.disinto.screen is not self:
            return  # the operator went on to something else
        if message.error is not None:
            self.disinto.show_error(message.error)
        elif message.plan is not None:
            self._review(message.plan)

    def _review(self, plan: Plan) -> None:
        if not plan.changes:
            self.notify("Nothing to do.", timeout=3, markup=False)
            return

        def answer(yes: bool) -> None:
            if yes:
                # The review is still on top while it answers; what comes next goes over this screen.
                self.call_later(self.disinto.start, plan)

        self.disinto.review(plan, answer, yes="Start it" if plan.kind == "up" else "Stop it")
