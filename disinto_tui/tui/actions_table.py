"""The rows of the action table (see `actions`): id, keys, footer label, help, footer place, palette, priority."""

from __future__ import annotations

Row = tuple[str, str, str, str] | tuple[str, str, str, str, int] | tuple[str, str, str, str, int, bool]

SCOPES = {
    "app": "Everywhere",
    "log": "Log",
    "search": "Search",
    "steps": "Steps",
    "run": "Run",
    "review": "Review",
    "logs": "Service logs",
}

ACTIONS: tuple[Row, ...] = (
    # -- run -------------------------------------------------------------------------------------------------
    (
        "run.resume",
        "r",
        "finish it",
        "Goes on with a run that failed, was stopped or whose process died. Every step is asked first whether "
        "it is already done, so nothing is done twice.",
        10,
    ),
    (
        "run.undo",
        "u",
        "take it back",
        "Takes back the steps that were done, the last one first. Asks before it begins.",
        11,
    ),
    (
        "run.stop",
        "x",
        "stop",
        "Asks the run to stop. What must not be left half done, such as a recreate, is finished first; asked again, "
        "that is aborted, too. Each asks first.",
        34,
    ),
    (
        "run.pull_line",
        "p",
        "copy pull line",
        "Copies the command that pulls what was released. Works over SSH when the terminal allows it (OSC 52).",
        12,
    ),
    (
        "run.standing",
        "o",
        "where it stands",
        "Shows what became of what this run filed: approved, merged, executed, result.",
        13,
    ),
    (
        "run.leave",
        "escape",
        "back",
        "Leaves this screen. A run that is under way goes on: it is a process of its own, and this tool attaches "
        "to it again the next time it starts.",
        90,
    ),
    # -- the list of steps ------------------------------------------------------------------------------------
    ("steps.up", "up,k", "up", "Selects the step above.", 0, False),
    ("steps.down", "down,j", "down", "Selects the step below.", 0, False),
    (
        "steps.only",
        "enter",
        "to its log",
        "Goes to the log of what is selected: a step alone, or all of them. Moving shows it already.",
        20,
        False,
    ),
    # -- log -------------------------------------------------------------------------------------------------
    (
        "log.follow",
        "f,end",
        "follow",
        "Stays at the newest line. Scrolling up stops following, so that nothing moves under your eyes.",
        30,
    ),
    (
        "log.search",
        "slash",
        "search",
        "Searches the whole log while you type. Small letters match both cases; a capital makes case count.",
        31,
    ),
    ("log.next", "n", "next match", "Goes to the next match, and from the last one to the first.", 32),
    ("log.previous", "N", "previous match", "Goes to the match before.", 33),
    ("log.wrap", "w", "wrap", "Breaks long lines at the edge, or cuts them there (› marks a cut).", 40),
    (
        "log.first_error",
        "e",
        "first error",
        "Goes to the first line that looks like an error; of the failed step, when one failed.",
        41,
    ),
    ("log.save", "s", "save", "Writes the log to a file. Asks where.", 50),
    (
        "log.copy",
        "c",
        "copy",
        "Copies what the mouse selected, else the marked line, else the lines on the screen. Works over SSH "
        "when the terminal allows it (OSC 52).",
        51,
    ),
    ("log.all_steps", "a", "all steps", "Shows the lines of all steps again.", 35),
    ("log.up", "up,k", "up", "Scrolls up a line.", 0, False),
    ("log.down", "down,j", "down", "Scrolls down a line.", 0, False),
    ("log.page_up", "pageup,b", "page up", "Scrolls up a page.", 0, False),
    ("log.page_down", "pagedown,space", "page down", "Scrolls down a page.", 0, False),
    ("log.top", "home,g", "top", "Goes to the first line.", 0, False),
    ("log.left", "left,h", "left", "Scrolls left, when lines are not wrapped.", 0, False),
    ("log.right", "right,l", "right", "Scrolls right, when lines are not wrapped.", 0, False),
    # -- the search line -------------------------------------------------------------------------------------
    (
        "search.next_match",
        "down",
        "next match",
        "Goes to the next match without leaving the line.",
        41,
        False,
    ),
    ("search.previous_match", "up", "previous match", "Goes to the match before.", 42, False),
    (
        "search.give_up",
        "escape",
        "end search",
        "Forgets the search and its highlights. Enter keeps them, for n and N.",
        40,
        False,
    ),
    # -- review ----------------------------------------------------------------------------------------------
    ("review.cancel", "escape", "cancel", "Goes back; nothing was changed.", 20, False),
    ("review.line_down", "down,j", "down", "Scrolls the plan down.", 0, False),
    ("review.line_up", "up,k", "up", "Scrolls the plan up.", 0, False),
    ("review.page_down", "pagedown,space", "more", "Scrolls the plan down a page.", 30, False),
    ("review.page_up", "pageup,b", "page up", "Scrolls the plan up a page.", 0, False),
    # -- service logs ----------------------------------------------------------------------------------------
    ("logs.next_service", "right_square_bracket", "next service", "Shows only the next service's lines.", 35),
    ("logs.previous_service", "left_square_bracket", "previous service", "The service before.", 60),
    ("logs.all", "a", "all services", "Shows the lines of all services again.", 36),
    ("logs.back", "escape", "back", "Leaves the logs.", 90),
    # -- everywhere ------------------------------------------------------------------------------------------
    (
        "app.help",
        "question_mark,f1",
        "help",
        "Explains what has the focus, and every key that works here.",
        95,
    ),
    ("app.palette", "ctrl+p", "commands", "Finds an action by typing some letters of its name.", 0, False),
    (
        "app.theme",
        "ctrl+t",
        "theme",
        "Changes to the next theme: dark, light, high contrast. It is remembered.",
    ),
    ("app.quit", "q,ctrl+q", "quit", "Leaves disinto. Runs under way go on, and so does the factory.", 96),
)
