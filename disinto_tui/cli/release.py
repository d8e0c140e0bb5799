"""`release`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.core.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    help="The environment variable that holds the push credential; without it Docker's own login is used.",
)
@click.option("--force", is_flag=True, help="Also when a higher version is there; `latest` then stays.")
@click.option("--no-restart", is_flag=True, help="Publish only; this factory stays on its version.")
@click.option(
    "--from", "start_at", default="", metavar="STEP", help="Begin at this step; those before are left out."
)
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
) -> int:
    """Release a version of the agents image: tag, build, publish, and switch this factory to it.

    Everything is looked at first, and every problem told at once; nothing is changed by looking. A release that fails
    goes on with `disinto resume`: each step asks the world whether it is done. Mirrors' tokens are taken from
    MIRROR_TOKEN_<NAME>, GITHUB_TOKEN and CODEBERG_TOKEN.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.cli.stack import do_plan
    from disinto_tui.runs.release import ReleaseRequest, plan_release

    place = Path(checkout).absolute()

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
            release_secrets(os.environ, secret),
            force,
            not no_restart,
            start_at,
        )
        prepared = await plan_release(request)
        if not session.output.as_json:
            _tell(session, prepared.examined)
        return await do_plan(
            session, instance, prepared.plan, question="Release it?", secrets=dict(prepared.secrets)
        )

    return wait_for(work())


def release_secrets(environment: Mapping[str, str], secret: str) -> dict[str, str]:
    """The push credential and the mirrors' tokens of an environment, by name."""
    names = {secret, "GITHUB_TOKEN", "CODEBERG_TOKEN"}
    return {
        name: value
        for name, value in environment.items()
        if value and (name in names or name.startswith("MIRROR_TOKEN_"))
    }


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
