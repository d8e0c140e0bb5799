"""A run: its steps at the left, its log at the right; live, late, or long after it is over.

The run is a process of its own. This screen reads what it journals and asks it nothing; leaving, or losing the
terminal, does not touch it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from textual import events, work
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget

from disinto_tui.core.errors import DisintoError
from disinto_tui.core.events import Event
from disinto_tui.core.words import clock_text
from disinto_tui.runs.attach import RunReader
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.log.lines import FileLog, StepLog
from disinto_tui.tui.log.pane import LogPane
from disinto_tui.tui.log.view import LogView
from disinto_tui.tui.run_model import RunModel
from disinto_tui.tui.run_verdict import pull_line, verdict_lines
from disinto_tui.tui.screens.base import in_words
from disinto_tui.tui.screens.with_log import LogScreen
from disinto_tui.tui.widgets.frame import Rule
from disinto_tui.tui.widgets.home_lines import LineList
from disinto_tui.tui.widgets.run_verdict import RunVerdict
from disinto_tui.tui.widgets.step_list import StepList

if TYPE_CHECKING:
    from disinto_tui.adapters.journal import RunDir
    from disinto_tui.runs.again import Ways

POLL_SECONDS = 0.05
FLOOD_LINES, FLOOD_SECONDS = 100, 0.2
"""More lines between two looks than any screen shows at once: nobody reads them, so they are painted less often."""
PAINT_SHARE, SLOWEST_SECONDS = 5, 0.5
"""While they come, painting takes at most this part of the time, however slow it is: a builder that fills the machine
makes it slow, and would itself be made slow by it."""
_CSS = """
RunScreen #steps { width: 27; }
RunScreen.-wide #steps { width: 36; }
RunScreen #middle { height: 1fr; }
RunScreen #divider { width: 1; height: 1fr; color: $rule; }
"""


class RunScreen(LogScreen):
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

    class Ready(Message):
        """The secrets of a run that is begun again, or why there are none."""

        def __init__(self, undo: bool, found: Mapping[str, str] | DisintoError) -> None:
            super().__init__()
            self.undo, self.found = undo, found

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
        self.stopping = run.cancel_asked()
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
        yield RunVerdict(id="verdict")

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
        if self.stopping:
            return f"{plan.title} · stopping · running {running}"
        return f"{plan.title} · running {running} · safe to close"

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
        due, seen = 0.0, self.whole.end
        while True:
            gone = reader.gone(self._pid)
            # The log first: then no line is here of a step that is not known yet. One small block at a time: every
            # hop of a key press waits for at most one of them.
            grew = more = self.whole.grow()
            while more and time.monotonic() < due:
                await asyncio.sleep(0)
                more = self.whole.grow()
            told = reader.read()
            if told or grew:
                self.post_message(self.Told(told, grew))
                due, seen = time.monotonic() + self._pace(self.whole.end - seen), self.whole.end
            ended = reader.ended(self._pid)
            if not grew and (ended or (gone and not told)):
                self.post_message(self.Over(not ended))
                return
            # What was printed meanwhile waits for the next look: on a busy machine whoever sleeps is let in first.
            await asyncio.sleep(0 if more else max(POLL_SECONDS, due - time.monotonic()))

    def _pace(self, lines: int) -> float:
        """Seconds until the next look, after one that found so many lines."""
        if lines <= FLOOD_LINES:
            return POLL_SECONDS
        return min(SLOWEST_SECONDS, max(FLOOD_SECONDS, PAINT_SHARE * self._paint_seconds))

    # -- handlers ------------------------------------------------------------------------------------------------

    def on_run_screen_told(self, message: RunScreen.Told) -> None:
        """Take it over and paint what is different."""
        turned = self.model.apply(message.told)
        if message.told or turned:
            self._show()
        if message.grew or (self.only and message.told):
            self.query_one(LogPane).grew()
            self.call_after_refresh(self._painted, time.monotonic())
        if self.model.live and not self._ticking:
            self._ticking = True
            self.set_timer(1.0, self._tick)
        if turned:
            self.refresh_bindings()

    _paint_seconds = 0.0

    def _painted(self, since: float) -> None:
        self._paint_seconds = time.monotonic() - since

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
        kept = self._run_dir.log_path.exists()
        self.query_one(LogView).empty = (
            "Nothing was printed." if kept else "The log of a run this old is not kept."
        )
        self._show()
        self._verdict()
        self.refresh_bindings()

    def _show(self) -> None:
        self.query_one("#top").say(left=self.headline())  # type: ignore[attr-defined]
        self.query_one(StepList).show(self.model, self._clock(), self.only)

    def _verdict(self) -> None:
        if not self.is_attached:
            return
        error = self._last_words() if self.model.died else None
        self.query_one(RunVerdict).show(verdict_lines(self.model, error))
        failed, ended = self.model.failed, self.model.ended
        if failed is None or ended is None or ended.state == "done" or self._told_end:
            return
        self._told_end = True
        self._to_trouble(failed.trouble)

    def _last_words(self) -> DisintoError:
        from disinto_tui.runs.launch import died

        return died(self._run_dir)

    def _to_trouble(self, where: tuple[int, int | None]) -> None:
        """The failed step's first line that looks like an error, else its last one."""
        if self.only:
            return
        view = self.query_one(LogView)
        start, stop = where
        low = self.whole.line_at(start)
        high = self.whole.end if stop is None else self.whole.line_at(stop)
        if high > low:
            view.trouble = (low, high)
            view.seek_trouble(low, high, otherwise=high - 1)

    # -- steps ---------------------------------------------------------------------------------------------------

    def on_step_list_selected(self, message: StepList.Selected) -> None:
        """The log of that step alone, or all of them."""
        self._only(message.step)

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        """To its log."""
        self.query_one(LogView).focus()

    def on_log_view_all_steps(self, message: LogView.AllSteps) -> None:
        """All steps again."""
        self.query_one(StepList).to_all()
        self._only("")

    def _only(self, step_id: str) -> None:
        self.only = step_id
        pane = self.query_one(LogPane)
        pane.view.partial = bool(step_id)
        step = next((item for item in self.model.steps if item.id == step_id), None)
        if step is None:
            pane.show(self.whole, "all steps")
        else:
            pane.show(StepLog(self.whole, step.ranges), f"{step.id} alone")
        self._show()
        self.refresh_bindings()

    # -- actions -------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Stopping needs a live run; finishing and taking back one that is not."""
        model = self.model
        if action == "stop":
            return model.live
        if action == "standing":
            return bool(self._request())
        if action == "pull_line":
            return bool(pull_line(model))
        over = model.died or (model.ended is not None)
        begun = any(step.state not in ("", "skipped") for step in model.steps)
        if action == "resume":
            return over and begun and not model.succeeded and self._ways.finish()
        if action == "undo":
            return over and begun and self._ways.take_back()
        return super().check_action(action, parameters)

    def key_label(self, action_id: str) -> str:
        """The keys in the words of what they would do right now."""
        model = self.model
        half_way = not model.live and not model.succeeded and model.started is not None
        if action_id == "run.stop":
            return "abort" if self.stopping else ""
        if action_id == "run.resume":
            return f"retry {model.failed.id}" if model.failed is not None else "go on"
        if action_id == "run.undo":
            return "take back the tag" if model.made_tag else ""
        if action_id == "run.leave":
            return "leave it running" if model.live else "later" if half_way and self._ways.finish() else ""
        return super().key_label(action_id)

    @cached_property
    def _ways(self) -> Ways:
        from disinto_tui.runs.again import Ways

        return Ways(self.disinto.instance, self._run_dir)

    def _adopted(self) -> bool:
        """Whether it took a stack over. Its way back looks at what came since, so it is a plan and a run of its own."""
        return self.model.plan.kind == "adopt" and self.model.succeeded

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
        if self._adopted():
            from disinto_tui.tui.screens.adopting import adopt

            adopt(self, undo=True)
            return
        from disinto_tui.tui.screens.dialogs import Ask

        question = Ask(
            f"Take back “{self.model.plan.title}”?",
            _sentence(self.model.plan.undo or "the steps that were done are undone, the last one first"),
            yes="Take it back",
            no="Leave it",
        )
        self.app.push_screen(question, lambda yes: self._again(undo=True) if yes else None)

    def _again(self, *, undo: bool) -> None:
        from disinto_tui.runs.again import refuse_over

        try:
            # The question may have stood there for an hour, and another terminal may have been quicker.
            refuse_over(self.disinto.instance, self._run_dir, undo=undo)
        except DisintoError as error:
            self.disinto.show_error(error)
            self.refresh_bindings()
            return
        if self.model.plan.kind in ("release", "formula"):
            # Also what was found before: a token that is over may have been replaced meanwhile.
            self._find_secrets(undo)
        else:
            self._launch(undo, self.disinto.handed.get(self._run_dir.id))

    @work(group="secrets", exclusive=True, exit_on_error=False)
    async def _find_secrets(self, undo: bool) -> None:
        from disinto_tui.runs.handover import secrets_for

        try:
            found: Mapping[str, str] | DisintoError = await secrets_for(
                self.disinto.instance, self.model.plan, self.disinto.typed.get(self._run_dir.id)
            )
        except Exception as error:
            found = in_words(error)
        self.post_message(self.Ready(undo, found))

    def on_run_screen_ready(self, message: RunScreen.Ready) -> None:
        """What it is handed was looked for."""
        if isinstance(message.found, DisintoError):
            self.disinto.show_error(message.found)
        elif not self.model.live:
            # What is in no place any more is handed over as it was before.
            self._launch(message.undo, {**self.disinto.handed.get(self._run_dir.id, {}), **message.found})

    def _launch(self, undo: bool, secrets: Mapping[str, str] | None) -> None:
        pid = self.disinto.launch(self._run_dir, undo=undo, secrets=secrets)
        if pid is None:
            return
        self._pid = pid
        self._told_end = self.stopping = False
        self.model = RunModel(self.model.plan)
        self.query_one(RunVerdict).show([])
        self.query_one(StepList).to_all()
        self._only("")
        self.query_one(LogView).action_follow()
        self._read()

    def _request(self) -> str:
        """The id of the request that this run filed, "" when it filed none."""
        plan = self.model.plan
        filed = plan.kind == "release-request" and self.model.succeeded
        return str(plan.facts.get("id", "")) if filed else ""

    def action_standing(self) -> None:
        """What became of what it filed."""
        self.disinto.open_request(self._request())

    def action_pull_line(self) -> None:
        """Copy the command that pulls what was released."""
        line = pull_line(self.model)
        self.app.copy_to_clipboard(line)
        self.app.notify(f"Copied {line}", timeout=2, markup=False)

    def action_stop(self) -> None:
        """Ask, then ask the run; the second time to abort."""
        from disinto_tui.tui.screens.dialogs import Ask

        if self.stopping:
            question = Ask(
                "Abort it in the middle of this step?",
                f"{self._current()} is being finished because it must not be left half done. Aborted, a switch goes "
                "back; anything else may be half done, and going on later looks at the world first.",
                yes="Abort it",
                no="Let it finish",
                danger=True,
            )
        else:
            question = Ask(
                "Stop it?",
                "What is done stays done, and can be gone on from or taken back later. A step that must not be left "
                "half done, such as a recreate, is finished first.",
                yes="Stop it",
                no="Let it run",
            )
        self.app.push_screen(question, self._stop)

    def _current(self) -> str:
        step = self.model.current
        return step.id if step is not None else "This step"

    def _stop(self, yes: bool | None) -> None:
        if not yes or not self.model.live:
            return
        try:
            if self.stopping:
                self._run_dir.ask_abort()
            else:
                self._run_dir.ask_cancel()
        except DisintoError as error:
            self.disinto.show_error(error)
            return
        self.stopping = True
        self._show()
        self.refresh_bindings()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


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
