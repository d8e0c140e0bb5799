"""The screens, each imported when it is first shown: first paint pays only for what it paints.

No function here has the name of a module beside it: importing the module would put it in the function's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.screen import Screen

    from disinto_tui.adapters.journal import RunDir
    from disinto_tui.core.plan import Plan
    from disinto_tui.tui.screens.logs import LogSource


def home_screen() -> Screen[None]:
    """The first screen: what runs, is it healthy, is there something to do."""
    from disinto_tui.tui.screens.home import HomeScreen

    return HomeScreen()


def init_screen(options: Mapping[str, Any]) -> Screen[None]:
    """A new factory: token, config, version, review."""
    from disinto_tui.tui.screens.init import InitScreen

    return InitScreen(**options)


def release_screen(options: Mapping[str, Any]) -> Screen[None]:
    """A release: version, where, credentials, checks."""
    from disinto_tui.tui.screens.release import ReleaseScreen

    return ReleaseScreen(**options)


def request_screen(name: str) -> Screen[None]:
    """Where a request for approval stands, by its id or its version."""
    from disinto_tui.tui.screens.request import RequestScreen

    return RequestScreen(name)


def doctor_screen() -> Screen[None]:
    """Whether the factory is sound."""
    from disinto_tui.tui.screens.doctor import DoctorScreen

    return DoctorScreen()


def run_screen(run_dir: RunDir, pid: int | None = None) -> Screen[None]:
    """A run, live or afterwards. `pid` is the process just started for it."""
    from disinto_tui.tui.screens.run import RunScreen

    return RunScreen(run_dir, pid=pid)


def review_screen(
    plan: Plan, yes: str = "Do it", at_work: Sequence[str] = (), idle: bool = False
) -> Screen[str]:
    """The plan before anything changes; its result is the answer: "yes", "idle" or "cancel"."""
    from disinto_tui.tui.screens.review import ReviewScreen

    return ReviewScreen(plan, yes=yes, at_work=at_work, idle=idle)


def versions_screen(options: Mapping[str, Any]) -> Screen[None]:
    """The versions there are: registry, this host, history."""
    from disinto_tui.tui.screens.versions import VersionsScreen

    return VersionsScreen(**options)


def logs_screen(source: LogSource, service: str = "") -> Screen[None]:
    """The services' logs, interleaved."""
    from disinto_tui.tui.screens.logs import LogsScreen

    return LogsScreen(source, service=service)
