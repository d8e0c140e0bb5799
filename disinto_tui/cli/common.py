"""What every command shares: its options, its session, asking, and watching a run to its end."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from disinto_tui.cli.output import Output, leave
from disinto_tui.core.errors import BadInput, ExitCode

T = TypeVar("T")


@dataclass
class Session:
    """One invocation: where, how to speak, and what was allowed beforehand."""

    directory: str
    output: Output
    yes: bool = False
    dry_run: bool = False

    def confirm(self, question: str, *, default: bool = False) -> bool:
        """Ask on the terminal; `--yes` answers. Raises BadInput without a terminal to ask on."""
        if self.yes:
            return True
        if not sys.stdin.isatty():
            raise BadInput(
                "This needs a yes.",
                "There is no terminal to ask on.",
                "Look at it with --dry-run, then give --yes.",
                code="confirm.no_terminal",
            )
        return click.confirm(question, default=default, err=True)


_OPTIONS = {
    "directory": click.option(
        "--dir",
        "directory",
        metavar="DIR",
        help="The instance's directory (or DISINTO_DIR); the current one.",
    ),
    "as_json": click.option("--json", "as_json", is_flag=True, help="JSON on stdout: a document, or events."),
    "no_color": click.option("--no-color", is_flag=True, help="No colour (so does NO_COLOR)."),
    "dry_run": click.option("--dry-run", is_flag=True, help="Show the plan and change nothing."),
    "yes": click.option("-y", "--yes", is_flag=True, help="Say yes to the plan beforehand."),
}


def session_options(*, changes: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The common options; the command gets a `Session` as its first argument.

    Options given before the command's name (`disinto --dir D status`) hold too; those after it win.
    """
    names = ["directory", "as_json", "no_color", *(["dry_run", "yes"] if changes else [])]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            given = {name: kwargs.pop(name) for name in names}
            outer = click.get_current_context().find_root().params
            as_json = bool(given["as_json"] or outer.get("as_json"))
            plain = bool(given["no_color"] or outer.get("no_color"))
            directory = given["directory"] or outer.get("directory") or here()
            output = Output(as_json, False if plain else None)
            session = Session(directory, output, bool(given.get("yes")), bool(given.get("dry_run")))
            click.get_current_context().find_root().obj = output
            try:
                return command(session, *args, **kwargs)
            except BrokenPipeError:
                # Here, because click would turn it into a wordless exit code 1.
                leave(ExitCode.DONE)

        for name in reversed(names):
            wrapper = _OPTIONS[name](wrapper)
        return wrapper

    return decorate


def here() -> str:
    """The instance's directory when none was named on the command line. Raises BadInput when it is gone."""
    named = os.environ.get("DISINTO_DIR")
    if named:
        return named
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        raise BadInput(
            "The current directory is gone.",
            "It was removed or renamed after this shell went into it.",
            "Go to the factory's directory (`cd`), or name it with --dir.",
            code="cli.no_directory",
        ) from None


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in this invocation."""
    return asyncio.run(work)


async def carry_out(
    session: Session, run: Any, *, secrets: Mapping[str, str] | None = None, undo: bool = False
) -> ExitCode:
    """Start a run in its own process and watch it to its end.

    Ctrl-C asks it to stop, a second one to abort, and a third leaves it to itself. A closed terminal leaves it
    running.
    """
    from disinto_tui.runs.launch import launch

    pid = launch(run, undo=undo, secrets=secrets)
    return await watch_run(session, run, pid=pid)


async def watch_run(session: Session, run: Any, *, pid: int | None = None, cancels: bool = True) -> ExitCode:
    """Follow a run and print it. Returns the exit code it ended with. Raises Failed when it died."""
    from disinto_tui.cli.run_text import RunPrinter
    from disinto_tui.core.events import Event, RunEnded, event_to_json
    from disinto_tui.runs.attach import follow
    from disinto_tui.runs.launch import died

    printer = RunPrinter(session.output, run.plan())
    ended: RunEnded | None = None
    interrupts = 0
    watching = asyncio.current_task()

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        if cancels and interrupts == 1:
            run.ask_cancel()
            session.output.say(
                "Stopping; what must not be left half done is finished first. Ctrl-C again aborts that, too."
            )
        elif cancels and interrupts == 2:
            run.ask_abort()
            session.output.say("Aborting; what it leaves is journaled. Ctrl-C again leaves it to itself.")
        elif watching is not None:
            watching.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupted)

    def show(event: Event) -> None:
        nonlocal ended
        if isinstance(event, RunEnded):
            ended = event
        if session.output.as_json:
            session.output.record(event_to_json(event))
        else:
            printer.event(event)

    try:
        async for batch in follow(run, pid=pid):
            for event in batch:
                show(event)
    except (asyncio.CancelledError, BrokenPipeError):
        session.output.say(f"Left running. `disinto attach {run.id}` watches it again.")
        return ExitCode.INTERRUPTED
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    if ended is None:
        raise died(run)
    return ExitCode(ended.exit_code)
