"""The rows of the action table for the versions screen (see `actions`)."""

from __future__ import annotations

from disinto_tui.tui.actions_table import Row

VERSION_SCOPES = {
    "versions": "Versions",
    "rows": "The list of versions",
    "about": "About a version",
    "filter": "Filter",
    "planning": "Planning",
}

VERSION_ACTIONS: tuple[Row, ...] = (
    # -- versions --------------------------------------------------------------------------------------------
    (
        "versions.switch",
        "enter",
        "switch…",
        "Plans a switch to the selected version and shows what it would do; nothing is changed before you say "
        "yes. On a narrow terminal it first shows everything about the version.",
        10,
    ),
    (
        "versions.undo",
        "u",
        "undo",
        "Plans the way back to the last version that was known good here. Needs no registry when its image is "
        "on this host.",
        11,
    ),
    (
        "versions.filter",
        "slash",
        "filter",
        "Shows only versions that hold every word you type. Words such as :local, :good, :reverted, :left, "
        ":offline, :newest name what is known of them here.",
        20,
    ),
    (
        "versions.others",
        "o",
        "other tags",
        "Shows, or hides again, the tags that are no versions (latest, main, v1 and the like).",
        30,
    ),
    (
        "versions.copy",
        "c",
        "copy reference",
        "Copies repository, tag and the whole digest. Works over SSH when the terminal allows it (OSC 52).",
        40,
    ),
    ("versions.refresh", "R", "refresh", "Asks the registry and the engine again.", 50),
    (
        "versions.back",
        "escape",
        "back",
        "Leaves what was opened last: the details, the filter, this screen.",
        90,
    ),
    # -- the list --------------------------------------------------------------------------------------------
    ("rows.up", "up,k", "up", "Selects the version above.", 0, False),
    ("rows.down", "down,j", "down", "Selects the version below.", 0, False),
    ("rows.page_up", "pageup,b", "page up", "Goes up a page.", 0, False),
    ("rows.page_down", "pagedown,space", "page down", "Goes down a page.", 0, False),
    ("rows.first", "home,g", "first", "Selects the first version, the newest.", 0, False),
    ("rows.last", "end,G", "last", "Selects the last version.", 0, False),
    # -- details ---------------------------------------------------------------------------------------------
    ("about.up", "up,k", "up", "Scrolls up a line.", 0, False),
    ("about.down", "down,j", "down", "Scrolls down a line.", 0, False),
    ("about.page_up", "pageup,b", "page up", "Scrolls up a page.", 0, False),
    ("about.page_down", "pagedown,space", "page down", "Scrolls down a page.", 0, False),
    ("about.first", "home,g", "top", "Goes to the first line.", 0, False),
    ("about.last", "end,G", "bottom", "Goes to the last line.", 0, False),
    # -- the filter line -------------------------------------------------------------------------------------
    ("filter.keep", "enter", "keep", "Goes back to the list and leaves it filtered.", 10, False),
    ("filter.clear", "escape", "clear", "Shows all versions again, with the cursor where it was.", 11, False),
    ("filter.up", "up", "up", "Selects the version above without leaving the line.", 12, False),
    ("filter.down", "down", "down", "Selects the version below without leaving the line.", 13, False),
    # -- while a switch is planned ---------------------------------------------------------------------------
    ("planning.cancel", "escape", "cancel", "Stops planning; nothing was changed.", 10, False),
)
