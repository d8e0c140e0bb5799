"""The rows of the action table for the home and init screens (see `actions`)."""

from __future__ import annotations

from disinto_tui.tui.actions_table import Row

HOME_SCOPES = {"home": "Home", "list": "Lists", "init": "New factory", "doctor": "Doctor"}

HOME_ACTIONS: tuple[Row, ...] = (
    # -- home ------------------------------------------------------------------------------------------------
    (
        "home.versions",
        "v",
        "versions",
        "The versions there are: in the registry, on this host, and what ran here. Switching starts there.",
        9,
    ),
    (
        "home.release",
        "r",
        "release",
        "Cuts a release of the agents image, here or for approval. Looks at everything before it changes anything.",
        9,
    ),
    (
        "home.undo",
        "u",
        "undo",
        "Goes back to the last version that was known good here. Shows what it would do first.",
        12,
    ),
    (
        "home.init",
        "i",
        "init",
        "Makes a factory here from a token and a config file; or makes it anew from a "
        "changed config. Shows everything before anything is written.",
        30,
    ),
    (
        "home.logs",
        "l",
        "logs",
        "The logs of all services, interleaved. Enter on a service shows its log alone.",
        10,
    ),
    (
        "home.doctor",
        "d",
        "doctor",
        "Looks whether everything is sound: engine, tokens, volumes, drift, what was left behind. Changes nothing.",
        11,
    ),
    (
        "home.up",
        "U",
        "up",
        "Starts the factory, or what of it does not run. Shows what it would do first.",
        20,
    ),
    (
        "home.down",
        "D",
        "down",
        "Stops the factory; volumes and files stay. Shows what it would do first.",
        21,
    ),
    ("home.refresh", "R", "refresh", "Asks the engine, the registry and the forge again.", 40),
    # -- doctor ----------------------------------------------------------------------------------------------
    (
        "doctor.mend",
        "m",
        "mend",
        "Mends what is safe to mend without you: shown as a plan first, then a run like any other.",
        10,
    ),
    ("doctor.again", "R", "look again", "Looks at everything anew.", 20),
    ("doctor.back", "escape", "back", "Leaves; looking changes nothing.", 90),
    # -- lists -----------------------------------------------------------------------------------------------
    (
        "list.open",
        "enter",
        "open",
        "Opens what is selected: a service's log, a run, or what helps.",
        11,
        False,
    ),
    ("list.up", "up,k", "up", "Selects the line above.", 0, False),
    ("list.down", "down,j", "down", "Selects the line below.", 0, False),
    ("list.first", "home,g", "first", "Selects the first line.", 0, False),
    ("list.last", "end,G", "last", "Selects the last line.", 0, False),
    # -- init ------------------------------------------------------------------------------------------------
    (
        "init.next",
        "ctrl+n",
        "next",
        "Goes on to the next page; to the review from the third. Enter in a field does the same.",
        10,
        False,
    ),
    ("init.save", "ctrl+s", "save config", "Writes the config's text to a file. Asks where.", 50),
    ("init.reread", "ctrl+r", "read again", "Takes the config's file as it is on disk.", 51),
    ("init.back", "escape", "back", "Goes back a page; nothing is written before the last one.", 90, False),
)
