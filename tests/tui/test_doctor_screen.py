"""The doctor's screen: results as they come, cures, mending as a run, looking again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir
from disinto_tui.core.errors import Unavailable
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.doctor import Report
from disinto_tui.runs.doctor_model import Remark, Result
from disinto_tui.tui.screens.doctor import DoctorScreen, result_lines
from tests.tui.support import app_on, shows, until

MODE = Step(
    "mode-.env", "Close .env", "modes", {"files": [{"path": ".env", "before": "644", "mode": "600"}]}, "open"
)
ENGINE = Result(
    "engine", "Engine", "Everything runs on it.", "ok", (Remark("ok", "Docker Engine 20.10"),), 0.1
)
OPEN = Result(
    "permissions",
    "Permissions",
    "A token that others can read is theirs too.",
    "warning",
    (Remark("warning", ".env can be used by [b]others[/b]", "chmod 600 .env", (MODE,)),),
    0.1,
)
CLOSED = Result("permissions", "Permissions", "w", "ok", (Remark("ok", "closed"),), 0.1)
SILENT = Result("clock", "Clock", "w", "unknown", (Remark("unknown", "no answer within 5 s"),), 5.0)


class Looks:
    """What the doctor finds at each look; `go` lets a look end."""

    def __init__(self, *turns: tuple[Result, ...]) -> None:
        self.turns = list(turns)
        self.go = asyncio.Event()
        self.count = 0

    async def __call__(self, instance: Instance, tell: Callable[[Result], None]) -> Report:
        found = self.turns[min(self.count, len(self.turns) - 1)]
        self.count += 1
        for result in reversed(found):
            tell(result)
        await self.go.wait()
        return Report(str(instance.path), found, 0.2)


async def test_results_are_shown_as_they_come_and_then_in_order(tmp_path: Path) -> None:
    looks = Looks((ENGINE, OPEN, SILENT))
    app = app_on(tmp_path, lambda: DoctorScreen(examine=looks))
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "Docker Engine 20.10", "Looking …"))
        looks.go.set()
        await until(pilot, lambda: shows(pilot, "1 to mend, 1 not looked at"))
        for words in (
            "▲ Permissions",
            "[b]others[/b]",
            "→ chmod 600 .env",
            "A token that others can read is theirs too.",
            "? Clock",
            "m mend",
        ):
            assert shows(pilot, words), words
        text = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert text.index("✓ Engine") < text.index("▲ Permissions") < text.index("? Clock")
        assert "Looking …" not in text


async def test_mending_is_a_plan_a_run_and_another_look(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    looks = Looks((ENGINE, OPEN), (ENGINE, CLOSED))
    looks.go.set()
    begun: list[Plan] = []

    def launcher(run: RunDir, **_: Any) -> int:
        begun.append(run.plan())
        return 1

    app = app_on(tmp_path, lambda: DoctorScreen(examine=looks), launcher=launcher)
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "1 to mend"))
        await pilot.press("m")
        await until(pilot, lambda: shows(pilot, "Mend 1 thing", "[ Mend it ]"))
        assert not begun, "nothing is done before it is confirmed"
        await pilot.press("right", "enter")
        await until(pilot, lambda: begun)
        assert [step.op for step in begun[0].steps] == ["modes"]
        await until(pilot, lambda: not isinstance(app.screen, DoctorScreen))
        await pilot.press("escape")
        await until(pilot, lambda: shows(pilot, "all is well", "closed"))
        assert looks.count == 2
        assert not shows(pilot, "m mend"), "there is nothing to mend any more"


async def test_nothing_to_mend_has_no_key_and_r_looks_again(tmp_path: Path) -> None:
    looks = Looks((ENGINE,))
    looks.go.set()
    app = app_on(tmp_path, lambda: DoctorScreen(examine=looks))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "all is well"))
        await pilot.press("m")
        await pilot.press("R")
        await until(pilot, lambda: looks.count == 2)


async def test_what_cannot_be_looked_at_is_said_in_three_sentences(tmp_path: Path) -> None:
    async def broken(instance: Instance, tell: Callable[[Result], None]) -> Report:
        raise Unavailable(
            "The context cannot be read.", "It is gone.", "Choose another.", code="engine.context"
        )

    app = app_on(tmp_path, lambda: DoctorScreen(examine=broken))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "cannot be read.", "It is gone.", "Choose another."))


def test_every_line_fits_its_width() -> None:
    long = Remark("problem", "word " * 60, "cure " * 40)
    remarks = result_lines(Result("x", "A title", "why " * 40, "problem", (long, long), 0.1), 60)
    lines = [line for remark in remarks for line in remark]
    assert all(sum(len(text) for text, _ in line) <= 60 for line in lines)
    assert sum("✗" in text for line in lines for text, _ in line) == 2
    assert len(remarks) == 2


async def test_what_is_worst_is_on_the_screen_although_it_stands_far_below(tmp_path: Path) -> None:
    many = tuple(
        Result(f"fine{number}", f"Fine {number}", "w", "ok", (Remark("ok", "well"),), 0.1)
        for number in range(30)
    )
    broken = Result(
        "health", "Health", "It matters.", "problem", (Remark("problem", "agents is dead", "cure"),), 0.1
    )
    looks = Looks((OPEN, *many, broken))
    looks.go.set()
    app = app_on(tmp_path, lambda: DoctorScreen(examine=looks))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "▸  ✗ Health", "agents is dead", "It matters."))
        await pilot.press("home")
        await until(pilot, lambda: shows(pilot, "▸  ▲ Permissions"))


async def test_a_check_with_more_to_say_than_the_screen_has_lines_can_be_read_whole(tmp_path: Path) -> None:
    said = tuple(Remark("warning", f"finding {number} " + "word " * 30, "cure") for number in range(12))
    looks = Looks((ENGINE, Result("shadows", "Shadows", "w", "warning", said, 0.1)))
    looks.go.set()
    app = app_on(tmp_path, lambda: DoctorScreen(examine=looks))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "▸  ▲ Shadows"))
        for number in range(12):
            await until(pilot, lambda number=number: shows(pilot, f"finding {number} "))  # type: ignore[misc]
            await pilot.press("down")
