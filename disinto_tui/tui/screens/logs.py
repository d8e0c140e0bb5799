"""The services' logs, interleaved as they come from the engine, or one service's alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING

from textual import work
from textual.message import Message
from textual.widget import Widget

from disinto_tui.core.errors import DisintoError
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.log.lines import MemoryLog
from disinto_tui.tui.log.pane import LogPane
from disinto_tui.tui.screens.base import DisintoScreen
from disinto_tui.tui.widgets.frame import Rule

if TYPE_CHECKING:
    from disinto_tui.runs.logs import LogLine

LogSource = Callable[[str], AsyncIterator[list["LogLine"]]]
"""Makes the stream of lines, a batch at a time, from behind a timestamp on (`runs.logs.follow_logs`)."""
FIRST_RETRY, LAST_RETRY = 1.0, 10.0
"""Seconds before an engine that went away is asked again: twice as long each time, up to the last."""

_TONES = ("good", "warn", "plain", "dim")


class LogsScreen(DisintoScreen[None]):
    """Lines of all services, or of `service` alone; the newest fifty thousand are kept."""

    SCOPES = ("logs",)
    HELP = (
        "What the services print, as it comes from the engine. [ and ] walk through the services one by one."
    )
    BINDINGS = bindings("logs")
    AUTO_FOCUS = "#log"

    class Came(Message):
        """Lines came."""

        def __init__(self, lines: list[LogLine]) -> None:
            super().__init__()
            self.lines = lines

    class Broke(Message):
        """The stream ended, with an error or without; `again` when it is tried again, `said` when it was before."""

        def __init__(self, error: DisintoError | None, *, again: bool = False, said: bool = False) -> None:
            super().__init__()
            self.error, self.again, self.said = error, again, said

    def __init__(self, source: LogSource, service: str = "") -> None:
        super().__init__()
        self._source = source
        self.service = service
        self.whole = MemoryLog()
        self.part: MemoryLog | None = None
        self._tones: dict[str, str] = {}
        self._away = False

    def body(self) -> Iterable[Widget]:
        """One log."""
        yield LogPane(
            title=self._title(),
            empty="Waiting for the services to say something.",
            save_as="services.log",
            id="pane",
        )
        yield Rule()

    def headline(self) -> str:
        """Whose logs."""
        return f"Logs of {self.service or 'all services'} · {self.disinto.project}"

    def _title(self) -> str:
        title = self.service or "all services"
        return f"{title} · no engine answers, waiting for it" if self._away else title

    def on_mount(self) -> None:
        """Begin to read."""
        self._choose(self.service)
        self._read()

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read(self) -> None:
        after, pause, said = "", FIRST_RETRY, False
        while True:
            try:
                async for batch in self._source(after):
                    pause, said = FIRST_RETRY, False
                    after = max([after, *(line.at for line in batch)])
                    self.post_message(self.Came(batch))
            except DisintoError as error:
                # Restarted or upgraded, it comes back, and what was printed meanwhile with it.
                again = bool(after) and error.code.startswith("engine.")
                self.post_message(self.Broke(error, again=again, said=said))
                if not again:
                    return
                said = True
            else:
                self.post_message(self.Broke(None))
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_RETRY)

    def on_logs_screen_came(self, message: LogsScreen.Came) -> None:
        """Take them over."""
        if self._away:
            self._away = False
            self.query_one(LogPane).title_text = self._title()
        for line in message.lines:
            if line.service not in self._tones:
                self._tones[line.service] = _TONES[len(self._tones) % len(_TONES)]
        lines = [(line.text, (line.service, self._tones[line.service])) for line in message.lines]
        self.whole.append(lines)
        if self.part is not None:
            self.part.append(pair for pair in lines if pair[1][0] == self.service)
        self.query_one(LogPane).grew()

    def on_logs_screen_broke(self, message: LogsScreen.Broke) -> None:
        """Say so, in the log's own title."""
        pane = self.query_one(LogPane)
        if message.error is None:
            pane.title_text = f"{self._title()} · the stream ended"
            pane.view.empty = "No service printed anything."
            pane.retitle()
            pane.view.refresh()
            return
        if message.again and not self._away:
            self._away = True
            pane.title_text = self._title()
            pane.retitle()
        if not message.again:
            self.disinto.show_error(message.error)
        elif not message.said:
            words = f"{message.error.what} {message.error.why}"
            self.app.notify(words, severity="warning", markup=False)

    def _choose(self, service: str) -> None:
        self.service = service
        self.part = self.whole.of(service) if service else None
        self.query_one(LogPane).show(self.whole if self.part is None else self.part, self._title())
        self.query_one("#top").say(left=self.headline())  # type: ignore[attr-defined]

    def _walk(self, step: int) -> None:
        names = ["", *sorted(self._tones)]
        at = names.index(self.service) if self.service in names else 0
        self._choose(names[(at + step) % len(names)])

    def action_next_service(self) -> None:
        """The next service alone."""
        self._walk(1)

    def action_previous_service(self) -> None:
        """The service before."""
        self._walk(-1)

    def action_all(self) -> None:
        """All services."""
        self._choose("")

    def action_back(self) -> None:
        """Leave."""
        self.dismiss()
