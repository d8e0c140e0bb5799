"""The rows of the action table for the wizard of a release (see `actions`)."""

from __future__ import annotations

from disinto_tui.tui.actions_table import Row

RELEASE_SCOPES = {
    "release": "Release",
    "proposals": "The versions to choose from",
    "request": "Request for approval",
}

RELEASE_ACTIONS: tuple[Row, ...] = (
    (
        "release.next",
        "ctrl+n",
        "next",
        "Goes on to the next page; from the checks to the review. Enter does the same on most lines.",
        10,
        False,
    ),
    (
        "release.again",
        "R",
        "look again",
        "Looks at everything again: after something was mended in another terminal.",
        20,
    ),
    (
        "release.back",
        "escape",
        "back",
        "Goes back a page; nothing is changed before you say yes to the review.",
        90,
        False,
    ),
    ("proposals.take", "enter", "take it", "Takes the selected version and goes on.", 11, False),
    ("proposals.up", "up,k", "up", "Selects the version above.", 0, False),
    ("proposals.down", "down,j", "down", "Selects the version below.", 0, False),
    # -- a request for approval ------------------------------------------------------------------------------
    (
        "request.copy",
        "c",
        "copy its address",
        "Copies the address of the pull request, for whoever is to approve it. Works over SSH when the terminal "
        "allows it (OSC 52).",
        10,
    ),
    ("request.again", "R", "look again", "Asks the forge now; it is asked every few seconds anyway.", 20),
    ("request.back", "escape", "back", "Leaves; what was filed stays filed.", 90),
)
