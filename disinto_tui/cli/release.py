"""`release`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.cli.credentials import read_secrets, secret_stdin_option
from disinto_tui.cli.requests import Asking, file_request, request_options
from disinto_tui.core.errors import ExitCode

if TYPE_CHECKING:
    from disinto_tui.runs.release_checks import Examined

_MARKS = {"ok": "✓", "warning": "▲", "problem": "✗"}


@click.command()
@click.argument("version")
@click.option(
    "--checkout", default=".", metavar="DIR", help="The git checkout to release from.", show_default=True
)
@click.option("--images", default="", metavar="REPOSITORY", help="Where to push, like ghcr.io/acme/agents.")
@click.option(
    "--repository", default="", metavar="OWNER/NAME", help="The repository on the forge; the project's."
)
@click.option("--user", default="", help="The user name that goes with the push credential.")
@click.option(
    "--secret",
    default="GITHUB_TOKEN",
    show_default=True,
    metavar="NAME",
    help="The push credential's name (`disinto credentials`); without one Docker's own login is used.",
)
@click.option("--force", is_flag=True, help="Also when a higher version is there; `latest` then stays.")
@click.option("--no-restart", is_flag=True, help="Publish only; this factory stays on its version.")
@click.option(
    "--from", "start_at", default="", metavar="STEP", help="Begin at this step; those before are left out."
)
@secret_stdin_option
@request_options
@session_options(changes=True)
def release(
    session: Session,
    version: str,
    checkout: str,
    images: str,
    repository: str,
    user: str,
    secret: str,
    force: bool,
    no_restart: bool,
    start_at: str,
    secret_stdin: tuple[str, ...],
    asking: Asking,
) -> int:
    """Release a version of the agents image: tag, build, publish, and switch this factory to it.

    Everything is looked at first, and every problem told at once; nothing is changed by looking. A release that fails
    goes on with `disinto resume`: each step asks the world whether it is done. The push credential and the mirrors'
    tokens (MIRROR_TOKEN_<NAME>, GITHUB_TOKEN, CODEBERG_TOKEN) are looked for in standard input when it is said
    (--secret-stdin), the environment, the keyring and secrets/<NAME>.enc.

    With --request it is filed for approval instead, as a pull request on the ops repository; `disinto requests` shows
    what becomes of it.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.adapters.tape import Tape, recording
    from disinto_tui.cli.stack import do_plan
    from disinto_tui.runs.release import ReleaseRequest, plan_release

    asking.check(click.get_current_context())
    if asking.request:
        return file_request(session, version, secret, asking)
    place, given = Path(checkout).absolute(), read_secrets(secret_stdin)

    async def work() -> ExitCode:
        instance = Instance.at(session.directory)
        request = ReleaseRequest(
            instance,
            version,
            place,
            images,
            repository,
            user,
            secret,
            {name: value.reveal() for name, value in given.items()},
            force,
            not no_restart,
            start_at,
        )
        with recording(Tape(reads_only=True)) as tape:  # planning changes nothing, dry run or not
            prepared = await plan_release(request)
        if not session.output.as_json:
            _tell(session, prepared.examined)
        return await do_plan(
            session,
            instance,
            prepared.plan,
            question="Release it?",
            secrets=dict(prepared.secrets),
            looked=tape.asked,
        )

    return wait_for(work())


def _tell(session: Session, examined: Examined) -> None:
    from disinto_tui.core.text import neutralise

    write = session.output.data if session.dry_run else session.output.say
    for finding in examined.findings:
        write(f"{_MARKS[finding.severity]} {finding.name:<14} {neutralise(finding.text)}")
    for commit in examined.commits[:20]:
        write(f"  {commit.sha[:9]} {neutralise(commit.subject)}")
    if len(examined.commits) > 20:
        write(f"  … {len(examined.commits) - 20} more commits since the last release")
    sys.stdout.flush()
