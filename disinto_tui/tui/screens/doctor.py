"""Is this factory sound: every check as it ends, why it matters, what mends it; and the safe part mended from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from textual import work
from textual.message import Message
from textual.widget import Widget

from disinto_tui.core.errors import DisintoError
from disinto_tui.core.plan import Plan
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.screens.base import DisintoScreen, in_words
from disinto_tui.tui.widgets.home_lines import Line, LineList, wrapped

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.runs.doctor import Report
    from disinto_tui.runs.doctor_model import Result

Examine = Callable[["Instance", Callable[["Result"], None]], Awaitable["Report"]]
"""Looks at an instance and tells each result as it comes (`runs.doctor.examine`)."""

MARKS = {"ok": ("✓", "good"), "warning": ("▲", "warn"), "problem": ("✗", "bad"), "unknown": ("?", "warn")}
_NAME = 17


async def _examine(instance: Instance, tell: Callable[[Result], None]) -> Report:
    from disinto_tui.runs.doctor import examine

    return await examine(instance, on_result=tell)


class CheckList(LineList):
    """Each remark is an item, in the order of the checks: a check may have more to say than the screen has lines."""

    DEFAULT_CSS = "CheckList { height: 1fr; padding: 1 0 0 0; }"
    HELP = (
        "✓ is well, ▲ is worth mending, ✗ is broken, ? could not be looked at. Below each stands what mends it, "
        "and why it matters."
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.results: dict[str, Result] = {}
        self.order: tuple[str, ...] = ()
        self.error: DisintoError | None = None

    def begin(self) -> None:
        """Forget what was seen."""
        self.results, self.order, self.error = {}, (), None
        self.rebuild()

    def add(self, result: Result) -> None:
        """One more result, behind those that are there until the order is known."""
        self.results[result.id] = result
        self.rebuild()

    def show(self, report: Report) -> None:
        """All of them, in their own order."""
        self.results = {item.id: item for item in report.results}
        self.order = tuple(self.results)
        self.rebuild()
        if self.cursor == 0:  # the operator has not begun to read yet
            self.move_to(heaviest(report.results))

    def fail(self, error: DisintoError) -> None:
        """Say why nothing could be looked at."""
        self.error = error
        self.rebuild()

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """The lines for a width."""
        lines: list[Line] = []
        owners: list[int] = []
        number = 0
        for name in self.order or self.results:
            for mine in result_lines(self.results[name], width):
                lines += mine
                owners += [number] * len(mine)
                number += 1
        if self.error is not None:
            for text in (self.error.what, self.error.why, self.error.now):
                lines += wrapped(text, width, "   ", "plain")
        elif not self.order:
            lines.append((("   Looking …", "dim"),))
        return lines, owners + [-1] * (len(lines) - len(owners))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to open."""
        return action != "open"


def heaviest(results: Sequence[Result]) -> int:
    """The number of the first remark of the worst kind there is, among all; 0 when everything is well."""
    states = [remark.state for result in results for remark in result.worth_saying]
    return next((states.index(state) for state in ("problem", "unknown", "warning") if state in states), 0)


def result_lines(result: Result, width: int) -> list[list[Line]]:
    """A check as an operator reads it, remark by remark: mark, title, what is so; its cure when it is not well, and
    behind the last why the check matters."""
    indent = " " * (5 + _NAME)
    remarks: list[list[Line]] = []
    for number, remark in enumerate(result.worth_saying):
        mark, tone = MARKS[remark.state]
        well = remark.state == "ok"
        title = result.title if number == 0 else ""
        first, *rest = wrapped(remark.text, width - 1, indent, "dim" if well else "plain")
        head: Line = (
            ("   ", "plain"),
            (f"{mark} ", tone),
            (f"{title:<{_NAME}}", "dim" if well else "strong"),
        )
        lines: list[Line] = [(*head, *first[1:]), *rest]
        if remark.cure and not well:
            lines += wrapped(f"→ {remark.cure}", width - 1, indent, "strong")
        remarks.append(lines)
    if result.state in ("warning", "problem"):
        remarks[-1] += wrapped(result.why, width - 1, indent, "dim")
    return remarks


class DoctorScreen(DisintoScreen[None]):
    """Every check of the doctor. `examine` looks."""

    SCOPES = ("doctor",)
    HELP = (
        "Everything that can be looked at without changing anything. What is safe to mend is mended from here, as a "
        "run that is shown first; the rest is for you, with the command that helps."
    )
    BINDINGS = bindings("doctor")
    AUTO_FOCUS = "#checks"

    class Came(Message):
        """A result, all of them, or why there are none."""

        def __init__(self, found: Result | Report | DisintoError, turn: int) -> None:
            super().__init__()
            self.found = found
            self.turn = turn

    class Planned(Message):
        """The plan of what is mended, or why there is none."""

        def __init__(self, found: Plan | DisintoError) -> None:
            super().__init__()
            self.found = found

    def __init__(self, *, examine: Examine = _examine) -> None:
        super().__init__()
        self._examine = examine
        self._turn = 0
        self._mending = False
        self.report: Report | None = None

    def headline(self) -> str:
        """How it is, in a word."""
        words = "looking …" if self.report is None else self._verdict(self.report)
        return f"Doctor · {self.disinto.project} · {words}"

    @staticmethod
    def _verdict(report: Report) -> str:
        ill = [
            f"{report.count(state)} {word}"  # type: ignore[arg-type]
            for state, word in (("problem", "broken"), ("warning", "to mend"), ("unknown", "not looked at"))
            if report.count(state)  # type: ignore[arg-type]
        ]
        return ", ".join(ill) or "all is well"

    def body(self) -> Iterable[Widget]:
        """One list."""
        yield CheckList(id="checks")

    @property
    def _list(self) -> CheckList:
        return self.query_one(CheckList)

    def on_mount(self) -> None:
        """Begin to look."""
        self._begin()

    def on_screen_resume(self) -> None:
        """Back from the run that mended: look whether it is so."""
        if self._mending:
            self._mending = False
            self._begin()

    def _begin(self) -> None:
        self._turn += 1
        self.report = None
        self._list.begin()
        self._changed()
        self._look(self._turn)

    def _changed(self) -> None:
        top: Any = self.query_one("#top")
        top.say(left=self.headline())
        self.refresh_bindings()

    @work(group="look", exclusive=True, exit_on_error=False)
    async def _look(self, turn: int) -> None:
        def tell(result: Result) -> None:
            self.post_message(self.Came(result, turn))

        try:
            report = await self._examine(self.disinto.instance, tell)
        except Exception as error:
            self.post_message(self.Came(in_words(error), turn))
        else:
            self.post_message(self.Came(report, turn))

    def on_doctor_screen_came(self, message: DoctorScreen.Came) -> None:
        """Show it, unless it belongs to a look that was begun anew meanwhile."""
        if message.turn != self._turn:
            return
        from disinto_tui.runs.doctor import Report  # loaded by whoever looked

        found = message.found
        if isinstance(found, DisintoError):
            self._list.fail(found)
        elif isinstance(found, Report):
            self.report = found
            self._list.show(found)
        else:
            self._list.add(found)
        self._changed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There has to be something that is safe to mend."""
        if action == "mend":
            return self.report is not None and bool(self.report.fixes)
        return True

    def action_again(self) -> None:
        """Look again."""
        self._begin()

    def action_mend(self) -> None:
        """Plan, review, run."""
        if self.report is not None:
            self._plan(self.report)

    @work(group="plan", exclusive=True, exit_on_error=False)
    async def _plan(self, report: Report) -> None:
        from disinto_tui.runs.doctor import plan_fix

        try:
            self.post_message(self.Planned(await plan_fix(self.disinto.instance, report)))
        except Exception as error:
            self.post_message(self.Planned(in_words(error)))

    def on_doctor_screen_planned(self, message: DoctorScreen.Planned) -> None:
        """Show it, or why there is none."""
        if self.disinto.screen is not self:
            return  # the operator went on to something else
        found = message.found
        if isinstance(found, DisintoError):
            self.disinto.show_error(found)
            return

        def start() -> None:
            self._mending = self.disinto.start(found)

        def answer(yes: bool) -> None:
            if yes:
                self.call_later(start)  # the review is still on top while it answers

        self.disinto.review(found, answer, yes="Mend it")

    def action_back(self) -> None:
        """Leave."""
        self.dismiss()
