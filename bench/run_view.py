"""The run screen on a run's directory, with one thing more: every `z` is echoed in the header.

`run_view.py RUN_DIRECTORY`. The time from the key to the echo's arrival on the terminal is how long the screen keeps
its operator waiting; the key goes the way of every key, the echo the way of every repaint.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from textual import events  # noqa: E402

from disinto_tui.adapters.instance import Instance  # noqa: E402
from disinto_tui.adapters.journal import RunDir  # noqa: E402
from disinto_tui.tui import screens  # noqa: E402
from disinto_tui.tui.app import DisintoApp  # noqa: E402
from disinto_tui.tui.widgets.frame import TopLine  # noqa: E402

KEY = "z"


class Echoing(DisintoApp):
    """The app, counting one key that means nothing to it."""

    # A path is taken relative to the file of the class that names it.
    CSS_PATH = ROOT / "disinto_tui" / "tui" / "styles.tcss"
    echoed = 0

    def on_key(self, event: events.Key) -> None:
        if event.key == KEY:
            self.echoed += 1
            self.screen.query_one(TopLine).say(right=f"ECHO{self.echoed}@")


def main() -> None:
    run = RunDir(Path(sys.argv[1]))
    Echoing(Instance.at(run.path.parents[2]), first=lambda: screens.run_screen(run)).run()


if __name__ == "__main__":
    main()
