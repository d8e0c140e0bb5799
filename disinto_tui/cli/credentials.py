"""`credentials`, and how a command is handed a secret on its standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.core.errors import BadInput, ExitCode

if TYPE_CHECKING:
    from disinto_tui.core.redact import Secret
    from disinto_tui.runs.credentials import FoundCredential

Command = TypeVar("Command", bound=Callable[..., Any])
_MARKS = {"ok": "✓", "warning": "▲", "problem": "✗"}
_MOST_BYTES = 1 << 16


def secret_stdin_option(command: Command) -> Command:
    """`--secret-stdin NAME`, as `secret_stdin: tuple[str, ...]`; `read_secrets` makes the secrets of it."""
    return click.option(
        "--secret-stdin",
        multiple=True,
        metavar="NAME",
        help="Read this credential from standard input, a line each; asked for without echo on a terminal.",
    )(command)


def read_secrets(names: Sequence[str]) -> dict[str, Secret]:
    """The credentials of `--secret-stdin`, in the order in which they were named.

    Raises BadInput `secret.empty`, `credential.name`, `credential.value`.
    """
    from disinto_tui.adapters.credentials import checked_name, usable

    found: dict[str, Secret] = {}
    for name in dict.fromkeys(names):
        checked_name(name)
        if sys.stdin.isatty():
            text = click.prompt(name, default="", hide_input=True, show_default=False, err=True)
        else:
            text = sys.stdin.readline(_MOST_BYTES)
        if not text.strip():
            raise BadInput(
                f"{name} is empty.",
                "Standard input has no line for it.",
                f"Pipe the token in: `… | disinto … --secret-stdin {name} --yes`.",
                code="secret.empty",
            )
        found[name] = usable(name, text, "on standard input")
    return found


@click.command()
@click.option("--images", default="", metavar="REPOSITORY", help="Where to push, like ghcr.io/acme/agents.")
@click.option(
    "--repository", default="", metavar="OWNER/NAME", help="The repository on the forge; the project's."
)
@click.option("--user", default="", help="The user name that goes with the push credential.")
@click.option(
    "--secret", default="GITHUB_TOKEN", show_default=True, metavar="NAME", help="The push credential's name."
)
@secret_stdin_option
@session_options()
def credentials(
    session: Session, images: str, repository: str, user: str, secret: str, secret_stdin: tuple[str, ...]
) -> int:
    """The secrets a release needs: where each is found, what it may do, when it expires.

    Asks the registry, GitHub, the mirrors and the forge; changes nothing and shows no secret. Exit code 1 when one
    cannot be used, 3 when something did not answer.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.runs.credentials import find_credentials

    given = read_secrets(secret_stdin)

    async def work() -> ExitCode:
        found = await find_credentials(
            Instance.at(session.directory),
            images=images,
            secret=secret,
            user=user,
            repository=repository,
            given=given,
        )
        if session.output.as_json:
            session.output.document([item.to_json() for item in found])
        else:
            for item in found:
                _tell(session, item)
        if any(item.finding.severity == "problem" for item in found):
            return ExitCode.FAILED
        return ExitCode.UNAVAILABLE if any(item.unanswered for item in found) else ExitCode.DONE

    return wait_for(work())


def _tell(session: Session, item: FoundCredential) -> None:
    from disinto_tui.core.text import neutralise

    style = {"ok": "green", "warning": "yellow", "problem": "red"}[item.finding.severity]
    mark = session.output.style(_MARKS[item.finding.severity], style)
    session.output.data(f"{mark} {neutralise(item.finding.text)}")
    if item.finding.cure and item.finding.severity != "ok":
        session.output.data(f"    {neutralise(item.finding.cure)}")
