"""A run: its steps at the left, its log at the right; live, late, or long after it is over.

The run is a process of its own. This screen reads what it journals and asks it nothing; leaving, or losing the
terminal, does not touch it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual import events, work
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from disinto_tui.core.errors import DisintoError, error_from_json
from disinto_tui.core.events import Event
from disinto_tui.core.words import clock_text
from disinto_tui.runs.attach import RunReader
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.log.lines import FileLog, PartLog
from disinto_tui.tui.log.pane import LogPane
from disinto_tui.tui.log.view import LogView
from disinto_tui.tui.run_model import RunModel
from disinto_tui.tui.screens.base import DisintoScreen
from disinto_tui.tui.widgets.frame import Rule
from disinto_tui.tui.widgets.home_lines import LineList
from disinto_tui.tui.widgets.step_list import StepList

if TYPE_CHECKING:
    from disinto_tui.adapters.journal import RunDir

POLL_SECONDS = 0.05
_CSS = """
RunScreen > #verdict { height: auto; max-height: 9; padding: 0 1; display: none; }
RunScreen > #verdict.-shown { display: block; }
RunScreen #steps { width: 27; }
RunScreen.-wide #steps { width: 36; }
RunScreen #middle { height: 1fr; }
RunScreen #divider { width: 1; height: 1fr; color: $rule; }
"""


class RunScreen(DisintoScreen[None]):
    """One run. `pid` is the process just started for it, so that an earlier end does not count."""

    DEFAULT_CSS = _CSS
    SCOPES = ("run",)
    HELP = (
        "A run: every step asks the world first whether it is already done, so it can be taken up again after "
        "anything. Leaving this screen does not stop it."
    )
    BINDINGS = bindings("run")
    AUTO_FOCUS = "#log"

    class Told(Message):
        """The run said something: events, and whether its log grew."""

        def __init__(self, told: list[Event], grew: bool) -> None:
            super().__init__()
            self.told, self.grew = told, grew

    class Over(Message):
        """Nothing more will come: it ended, or (`lost`) its process is gone without a word."""

        def __init__(self, lost: bool) -> None:
            super().__init__()
            self.lost = lost

    def __init__(
        self, run: RunDir, *, pid: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._run_dir = run
        self._pid = pid
        self._clock = clock
        self.model = RunModel(run.plan())
        self.whole = FileLog(run.log_path)
        self.only = ""
        self._told_end = False

    # -- frame ---------------------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        """Steps and log, and below them how it ended."""
        with Horizontal(id="middle"):
            yield StepList(id="steps")
            yield Divider(id="divider")
            yield LogPane(
                title="all steps",
                empty="Nothing was printed yet.",
                save_as=f"{self._run_dir.id}.log",
                id="pane",
            )
        yield Rule(id="low-rule")
        yield Static(id="verdict", markup=False)

    def headline(self) -> str:
        """What it is, for how long, and that it is safe to leave."""
        plan, model = self.model.plan, self.model
        if model.ended is not None:
            word = {"done": "done", "undone": "taken back", "cancelled": "stopped", "failed": "failed"}
            seconds = model.ended.at - model.first_at
            return f"{plan.title} · {word[model.ended.state]} after {clock_text(seconds)}"
        if model.died:
            return f"{plan.title} · interrupted"
        if model.started is None:
            return f"{plan.title} · starting"
        running = clock_text(self._clock() - model.started.at)
        return f"{plan.title} · running {running} · safe to close: the run goes on"

    def on_mount(self) -> None:
        """Begin to read."""
        self.disinto.set_where(self.model.plan.project, self.model.plan.endpoint)
        self.query_one(LogPane).show(self.whole, "all steps")
        self._show()
        self._read()

    def on_resize(self, event: events.Resize) -> None:
        """The divider may stand elsewhere."""
        self.call_after_refresh(self.query_one(Divider).join)

    # -- the worker: it only posts -------------------------------------------------------------------------------

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read(self) -> None:
        reader = RunReader(self._run_dir, lines=False)
        told: list[Event] = []
        grew, due = True, 0.0
        while True:
            gone = reader.gone(self._pid)
            told += reader.read()
            # One small block at a time: every hop of a key press waits for at most one of them.
            more = self.whole.grow()
            while more and time.monotonic() < due:
                grew = True
                await asyncio.sleep(0)
                more = self.whole.grow()
            grew = grew or more
            if told or grew:
                self.post_message(self.Told(told, grew))
                due = time.monotonic() + POLL_SECONDS
            if not more and (reader.ended(self._pid) or (gone and not told)):
                self.post_message(self.Over(not reader.ended(self._pid)))
                return
            told, grew = [], False
            await asyncio.sleep(0 if more else POLL_SECONDS)

    # -- handlers ------------------------------------------------------------------------------------------------

    def on_run_screen_told(self, message: RunScreen.Told) -> None:
        """Take it over and paint what is different."""
        turned = self.model.apply(message.told)
        if message.told or turned:
            self._show()
        if message.grew:
            self.query_one(LogPane).grew()
        if self.model.live and not self._ticking:
            self._ticking = True
            self.set_timer(1.0, self._tick)
        if turned:
            self.refresh_bindings()

    _ticking = False

    def _tick(self) -> None:
        """A running time that stands still looks like a hang; nothing ticks when nothing runs."""
        self._ticking = False
        if self.model.live:
            self._show()
            self._ticking = True
            self.set_timer(1.0, self._tick)

    def on_run_screen_over(self, message: RunScreen.Over) -> None:
        """Say how it ended, once; on failure go to the line that says why."""
        if message.lost:
            self.model.lost()
        self._show()
        self._verdict()
        self.refresh_bindings()

    def _show(self) -> None:
        self.query_one("#top").say(left=self.headline())  # type: ignore[attr-defined]
        self.query_one(StepList).show(self.model, self._clock(), self.only)

    def _verdict(self) -> None:
        if not self.is_attached:
            return
        lines, tone = self._verdict_lines()
        verdict = self.query_one("#verdict", Static)
        verdict.set_classes(f"-shown {tone}" if lines else "")
        verdict.update("\n".join(lines))
        failed = self.model.failed
        ended = self.model.ended
        if failed is None or ended is None or ended.state == "done" or self._told_end:
            return
        self._told_end = True
        self._to_trouble(failed.trouble)

    def _verdict_lines(self) -> tuple[list[str], str]:
        ended = self.model.ended
        if self.model.died:
            error: DisintoError | None = self._last_words()
        elif ended is not None and ended.error is not None:
            error = error_from_json(ended.error)
        elif ended is not None and ended.state == "undone":
            return ["↺ Everything is as it was before."], "warn"
        else:
            return list(ended.summary) if ended is not None else [], ""
        if error is None:
            return [], ""
        mark = "↺" if ended is not None and ended.state == "undone" else "✗"
        return [f"{mark} {error.what}", f"  {error.why}", f"  {error.now}"], "warn" if mark == "↺" else "bad"

    def _last_words(self) -> DisintoError:
        from disinto_tui.runs.launch import died

        return died(self._run_dir)

    def _to_trouble(self, where: tuple[int, int | None]) -> None:
        """The failed step's first line that looks like an error, else its last one."""
        view = self.query_one(LogView)
        start, stop = where
        low = self.whole.line_at(start)
        high = self.whole.end if stop is None else self.whole.line_at(stop)
        if not self.only and high > low:
            view.seek_trouble(low, high, otherwise=high - 1)

    # -- steps ---------------------------------------------------------------------------------------------------

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        """The log of that step alone; of the same one again, all."""
        step = self.model.steps[message.index]
        self._only("" if self.only == step.id else step.id)

    def on_log_view_all_steps(self, message: LogView.AllSteps) -> None:
        """All steps again."""
        self._only("")

    def _only(self, step_id: str) -> None:
        self.only = step_id
        pane = self.query_one(LogPane)
        pane.view.partial = bool(step_id)
        step = next((item for item in self.model.steps if item.id == step_id), None)
        if step is None:
            pane.show(self.whole, "all steps")
        else:
            lines = self.whole
            ranges = [
                (lines.line_at(low), None if high is None else lines.line_at(high))
                for low, high in step.ranges
            ]
            pane.show(PartLog(lines, ranges), f"{step.id} alone")
        self._show()
        self.refresh_bindings()

    # -- actions -------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Stopping needs a live run; finishing and taking back one that is not."""
        model = self.model
        if action == "stop":
            return model.live
        over = model.died or (model.ended is not None)
        state = model.ended.state if model.ended is not None else "interrupted"
        begun = any(step.state not in ("", "skipped") for step in model.steps)
        if action == "resume":
            return over and begun and state != "done" and self._half_way()
        if action == "undo":
            return over and begun and self._may_take_back()
        return True

    def _half_way(self) -> bool:
        """Whether this is the run that waits to be finished: an older one that failed is history."""
        from disinto_tui.adapters.journal import unfinished_run

        found = unfinished_run(self.disinto.instance)
        return found is not None and found.id == self._run_dir.id

    def _may_take_back(self) -> bool:
        from disinto_tui.adapters.journal import may_take_back

        return may_take_back(self.disinto.instance, self._run_dir)

    def action_leave(self) -> None:
        """Back; the run goes on."""
        if len(self.app.screen_stack) > 1:
            self.dismiss()
        else:
            self.app.exit(0)

    def action_resume(self) -> None:
        """Go on with it."""
        self._again(undo=False)

    def action_undo(self) -> None:
        """Ask, then take it back."""
        from disinto_tui.tui.screens.dialogs import Ask

        question = Ask(
            f"Take back “{self.model.plan.title}”?",
            self.model.plan.undo or "The steps that were done are undone, the last one first.",
            yes="Take it back",
            no="Leave it",
        )
        self.app.push_screen(question, lambda yes: self._again(undo=True) if yes else None)

    def _again(self, *, undo: bool) -> None:
        try:
            self._pid = self.disinto.launcher(self._run_dir, undo=undo)
        except DisintoError as error:
            self.disinto.show_error(error)
            return
        self.model.died = False
        self._told_end = False
        self.model = RunModel(self.model.plan)
        verdict = self.query_one("#verdict", Static)
        verdict.set_classes("")
        self.query_one(LogView).action_follow()
        self._show()
        self._read()

    def action_stop(self) -> None:
        """Ask, then ask the run."""
        from disinto_tui.tui.screens.dialogs import Ask

        question = Ask(
            "Stop after this step?",
            "What is done stays done; it can be finished or taken back later. A recreate that has begun is finished.",
            yes="Stop it",
            no="Let it run",
        )
        self.app.push_screen(question, self._stop)

    def _stop(self, yes: bool | None) -> None:
        if yes and self.model.live:
            self._run_dir.ask_cancel()
            self.notify("It stops after this step.", timeout=4, markup=False)


class Divider(Widget):
    """A vertical line between two panes."""

    def render_line(self, y: int) -> object:  # type: ignore[override]
        """The line."""
        from rich.segment import Segment
        from textual.strip import Strip

        return Strip([Segment("│", self.rich_style)])

    def join(self) -> None:
        """The rules above and below meet it."""
        for name, mark in (("#top-rule", "┬"), ("#low-rule", "┴")):
            self.screen.query_one(name, Rule).set_joint(self.region.x, mark)
