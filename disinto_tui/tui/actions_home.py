"""The rows of the action table for the home and init screens (see `actions`)."""

from __future__ import annotations

from disinto_tui.tui.actions_table import Row

HOME_SCOPES = {"home": "Home", "init": "New factory"}

HOME_ACTIONS: tuple[Row, ...] = (
    ("home.logs", "l", "logs", "The logs of all services, interleaved; of the selected one with Enter.", 10),
    ("home.refresh", "R", "refresh", "Asks the engine, the registry and the forge again.", 20),
    ("init.back", "escape", "back", "Goes back a page; nothing is written before the last one.", 90, False),
)
