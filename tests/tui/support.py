"""Waiting for a screen the only reliable way: ask until it is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App
from textual.events import Key
from textual.pilot import Pilot
from textual.screen import Screen

from disinto_tui.adapters.instance import Instance
from disinto_tui.tui.app import DisintoApp


async def until(pilot: Pilot[Any], ready: Callable[[], object], seconds: float = 60) -> None:
    """Let the app work until `ready()`; fails, naming what is on the screen, when it never is."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "\n".join(screen_text(pilot))
        await pilot.pause(0.01)


def screen_text(pilot: Pilot[Any]) -> list[str]:
    """The screen's lines as plain text."""
    width, height = pilot.app.size
    lines = pilot.app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip)[:width] for strip in lines][:height]


def shows(pilot: Pilot[Any], *words: str) -> bool:
    """Whether each of these is on the screen."""
    text = "\n".join(screen_text(pilot))
    return all(word in text for word in words)


def app_on(directory: Path, first: Callable[[], Screen[Any]], **more: Any) -> DisintoApp:
    """The app with that screen alone, and no settings of the developer's."""
    return DisintoApp(Instance.at(directory), first=first, config=directory / "settings", **more)


def burst(app: App[Any], *keys: str) -> None:
    """Keys that arrive all at once, as over a slow line."""
    names = {" ": "space"}
    for key in keys:
        app.post_message(Key(names.get(key, key), key if len(key) == 1 else None))
