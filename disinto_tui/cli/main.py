"""`disinto`: the commands, each in a module that is loaded when it is called.

`--version` and `--help` must answer at once, so nothing but click is imported here; the table below is what
`--help` lists.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from disinto_tui import __version__
from disinto_tui.core.errors import BadInput, DisintoError, ExitCode, Interrupted

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("disinto_tui.cli.init", "A new factory from a token and a config file."),
    "up": ("disinto_tui.cli.stack", "Start the factory; AGENTS_IMAGE=v0.1.1 disinto up is a one-off."),
    "down": ("disinto_tui.cli.stack", "Stop the factory; volumes and files stay."),
    "status": ("disinto_tui.cli.stack", "What runs, is it healthy, is there something to do."),
    "logs": ("disinto_tui.cli.stack", "The services' logs, interleaved, followed."),
    "versions": ("disinto_tui.cli.versions", "The versions there are, and which is running here."),
    "use": ("disinto_tui.cli.switch", "Switch to a version; it goes back by itself when it fails."),
    "rollback": ("disinto_tui.cli.switch", "Back to the last known good version, or to one you name."),
    "adopt": ("disinto_tui.cli.adopt", "Take an existing stack over to pinned images, and back."),
    "release": ("disinto_tui.cli.release", "Release a version: tag, build, publish, switch to it."),
    "doctor": (
        "disinto_tui.cli.doctor",
        "Is this factory sound; what mends it, and --fix for the safe things.",
    ),
    "credentials": (
        "disinto_tui.cli.credentials",
        "The secrets a release needs: where from, good until when.",
    ),
    "requests": ("disinto_tui.cli.requests", "What was filed for approval, and where it stands."),
    "formulas": (
        "disinto_tui.cli.formulas",
        "The formulas there are, or one of them, and what is wrong with any.",
    ),
    "run": ("disinto_tui.cli.formulas", "Run a formula's executable steps."),
    "runs": ("disinto_tui.cli.runs", "What was done here, newest first."),
    "attach": ("disinto_tui.cli.runs", "Watch a run, live or afterwards."),
    "resume": ("disinto_tui.cli.runs", "Finish a run that stopped half-way, or take it back."),
    "docs": ("disinto_tui.cli.docs", "The pages of the documentation, or one of them."),
    "unlock": ("disinto_tui.cli.holding", "Break the lock of an operator whose process is dead."),
}


class _Commands(click.Group):
    """Lists commands from the table and imports one only to call it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command = getattr(module, cmd_name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            raise BadInput(
                f"There is no command {args[0]}.",
                f"The nearest is {near[0]}." if near else "It is none of those in the list.",
                "See `disinto --help`.",
                code="cli.command",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="disinto")
@click.option(
    "--dir", "directory", metavar="DIR", help="The instance's directory (or DISINTO_DIR); the current one."
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout: a document, or events.")
@click.option("--no-color", is_flag=True, help="No colour (so does NO_COLOR).")
@click.pass_context
def cli(ctx: click.Context, directory: str | None, as_json: bool, no_color: bool) -> None:
    """Bootstrap, upgrade, roll back and release a Disinto factory.

    Without a command: the terminal UI, on the instance in the current directory. Exit codes: 0 done,
    1 failed (the message says what state it left), 2 bad input, 3 something outside did not answer,
    4 refused for safety, 130 interrupted.
    """
    if ctx.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput(
            "The terminal UI needs a terminal.",
            "Standard input or output is not one.",
            "For scripts there is a command for each screen: see `disinto --help`.",
            code="cli.no_terminal",
        )
    if no_color:
        os.environ["NO_COLOR"] = "1"
    from disinto_tui.cli.common import here
    from disinto_tui.tui.app import run_app

    ctx.exit(run_app(directory or here()))


def main(arguments: list[str] | None = None) -> None:
    """The entry point: runs a command, turns every error into three sentences and an exit code."""
    from disinto_tui.cli.output import Output, leave

    output = Output(as_json="--json" in (arguments if arguments is not None else sys.argv))
    try:
        result = cli.main(args=arguments, prog_name="disinto", standalone_mode=False)
    except DisintoError as error:
        output.error(error)
        leave(error.exit_code)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "disinto"
        output.error(
            BadInput(
                "The command line cannot be read.",
                error.format_message(),
                f"See `{where} --help`.",
                code="cli.usage",
            )
        )
        leave(ExitCode.BAD_INPUT)
    except click.ClickException as error:
        output.error(BadInput("That does not work.", error.format_message(), "See --help.", code="cli"))
        leave(ExitCode.BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        output.error(
            Interrupted(
                "Interrupted.", "You pressed Ctrl-C.", "Nothing was begun; run it again.", code="cli.abort"
            )
        )
        leave(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        leave(ExitCode.DONE)
    except Exception as error:
        if os.environ.get("DISINTO_DEBUG"):
            raise
        if isinstance(error, OSError) and isinstance(error.filename, str):
            from pathlib import Path

            from disinto_tui.adapters.journal import unusable

            known = unusable(Path(error.filename), error)
            output.error(known)
            leave(known.exit_code)
        from disinto_tui.core.errors import Failed

        output.error(
            Failed(
                "Something went wrong that this tool did not foresee.",
                f"{type(error).__name__}: {error}.",
                "Please report it; DISINTO_DEBUG=1 shows where it happened.",
                code="internal",
            )
        )
        leave(ExitCode.FAILED)
    leave(result if isinstance(result, int) else ExitCode.DONE)
